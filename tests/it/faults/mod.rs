//! Whatever breaks: nothing is lost, nothing comes twice, and who writes does not notice.

mod cut;
mod disk;
mod embedded;
mod frozen;
mod server;
mod takeover;
mod terminated;
mod unharmed;
