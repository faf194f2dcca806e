//! Who wants what: subscriptions, and the index that finds for one change the sessions to be told.
//!
//! A look-up costs the same with a thousand subscriptions as with a million: by relation, by (relation, column), by
//! (relation, key), by (relation, key, column). A change that nobody watches costs the look-up and no allocation.

mod index;
mod key;
mod records;
mod selector;

pub use index::{Index, Recipient, Recipients};
pub use key::{KeyForm, encode_key};
pub use selector::{Kind, Selector, Subscription};
