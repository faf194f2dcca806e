//! Room for a number of connections: a further one takes the place of one that has waited too long.
//!
//! A module of its own, because whom it closes decides whether a probe is answered while others
//! hold connections open.

use std::collections::VecDeque;
use std::net::IpAddr;

use tokio::task::{AbortHandle, JoinSet};

/// The connections that are open, the oldest first.
pub(super) struct Places {
    room: usize,
    taken: VecDeque<(IpAddr, AbortHandle)>,
    tasks: JoinSet<()>,
}

impl Places {
    pub(super) fn new(room: usize) -> Self {
        Places { room, taken: VecDeque::with_capacity(room), tasks: JoinSet::new() }
    }

    /// Gives a connection of `peer` a place; its task ends early if the place is needed for
    /// another.
    pub(super) async fn take(&mut self, peer: IpAddr, connection: impl Future<Output = ()> + Send + 'static) {
        while self.tasks.try_join_next().is_some() {}
        self.taken.retain(|(_, task)| !task.is_finished());
        if self.taken.len() >= self.room
            && let Some(at) = self.oldest_of_most(peer)
            && let Some((_, task)) = self.taken.remove(at)
        {
            task.abort();
            // its socket is closed when it is its turn, which is before ours then
            tokio::task::yield_now().await;
        }
        self.taken.push_back((peer, self.tasks.spawn(connection)));
    }

    /// The oldest connection of the address that has most of them, the new one's counted: an
    /// address that takes all places takes them from itself.
    fn oldest_of_most(&self, new: IpAddr) -> Option<usize> {
        let of =
            |peer: &IpAddr| self.taken.iter().filter(|(other, _)| other == peer).count() + usize::from(*peer == new);
        let most = self.taken.iter().map(|(peer, _)| of(peer)).max()?;
        self.taken.iter().position(|(peer, _)| of(peer) == most)
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn peers(places: &Places) -> Vec<IpAddr> {
        places.taken.iter().map(|(peer, _)| *peer).collect()
    }

    #[tokio::test]
    async fn the_oldest_of_the_busiest_address_makes_room() {
        let mut places = Places::new(3);
        for last in [1, 2, 2, 3, 3] {
            places.take(address(last), pending()).await;
        }
        // 1 has waited longest, and has one place
        assert_eq!(peers(&places), [address(1), address(2), address(3)]);
    }

    #[tokio::test]
    async fn what_has_ended_leaves_its_place() {
        let mut places = Places::new(1);
        places.take(address(1), async {}).await;
        while !places.taken[0].1.is_finished() {
            tokio::task::yield_now().await;
        }
        places.take(address(2), pending()).await;
        assert_eq!(peers(&places), [address(2)]);
        assert_eq!(places.tasks.len(), 1);
    }
}
