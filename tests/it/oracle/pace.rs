//! How much is written: writers take transactions from it, readers and faults go by those that are done.

use tokio::sync::watch;

/// What writers may still begin while nobody waits for more: enough that something is always being written when a fault
/// happens, and not so much that a fault which takes long fills the inboxes.
const AHEAD: usize = 40;

#[derive(Debug, Clone, Copy)]
struct State {
    /// Transactions that may be begun.
    left: usize,
    done: usize,
    /// No more will be allowed than are left.
    is_last: bool,
}

#[derive(Debug)]
pub struct Pace(watch::Sender<State>);

impl Pace {
    /// So many transactions and no more.
    pub fn of(transactions: usize) -> Pace {
        Pace(watch::Sender::new(State { left: transactions, done: 0, is_last: true }))
    }

    /// As many as are asked for, and some more, until it ends.
    pub fn until_ended() -> Pace {
        Pace(watch::Sender::new(State { left: AHEAD, done: 0, is_last: false }))
    }

    /// One of the transactions, once it may be begun; false when there are no more.
    pub async fn take(&self) -> bool {
        let mut state = self.0.subscribe();
        loop {
            let took = self.0.send_if_modified(|state| {
                let took = state.left > 0;
                state.left -= usize::from(took);
                took
            });
            if took || state.wait_for(|state| state.left > 0 || state.is_last).await.is_ok_and(|state| state.left == 0)
            {
                return took;
            }
        }
    }

    pub fn finish(&self) {
        self.0.send_modify(|state| state.done += 1);
    }

    /// No more are to be begun.
    pub fn end(&self) {
        self.0.send_modify(|state| (state.left, state.is_last) = (0, true));
    }

    pub fn is_over(&self) -> bool {
        let state = self.0.borrow();
        state.is_last && state.left == 0
    }

    /// Lets `count` more be written and waits until they are.
    pub async fn write(&self, count: usize) {
        let goal = self.0.borrow().done + count;
        self.0.send_modify(|state| state.left += if state.is_last { 0 } else { count });
        self.done(goal).await;
    }

    /// Waits until `count` more are done, or there are no more.
    pub async fn watch(&self, count: usize) {
        let goal = self.0.borrow().done + count;
        self.done(goal).await;
    }

    async fn done(&self, goal: usize) {
        let mut state = self.0.subscribe();
        let _ = state.wait_for(|state| state.done >= goal || (state.is_last && state.left == 0)).await;
    }
}
