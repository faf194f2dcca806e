//! A connection is cut, at any byte.

use crate::support::fault_ledger::{Ledger, Writers};
use crate::support::fault_proxy::{Cut, Link, Proxy};
use crate::support::{Database, Tidewire};

/// Under writers, cuts one after the other. A program that is cut off again and again takes longer and longer pauses, so
/// each gets three.
async fn survives(cuts: &[Cut]) {
    let database = Database::on_tcp(&[]).await;
    let proxy = Proxy::start(&database).await;
    let mut tidewire = Tidewire::up(&proxy.url()).await;
    let ledger = Ledger::open(&database).await;
    let writers = Writers::start(&database.url(), 2);
    for (n, cut) in cuts.iter().enumerate() {
        if n > 0 && n % 3 == 0 {
            tidewire.kill().await;
            tidewire = Tidewire::up(&proxy.url()).await;
        }
        ledger.more(10).await;
        proxy.cut(*cut).await;
    }
    writers.more(20).await;
    assert_eq!(writers.stop().await, [""; 0], "writers notice nothing");
    ledger.assert_told_exactly_once().await;
    assert_eq!(proxy.cuts(), cuts.len());
    assert!(tidewire.stop().await.success());
}

/// In the length of a message, in the header of what carries WAL, in the middle of a row, between two.
const PLACES: [usize; 6] = [0, 3, 17, 30, 111, 20_000];

#[tokio::test]
async fn the_stream_is_cut_in_the_middle_of_a_message() {
    survives(&PLACES.map(|bytes| Cut::Reply(Link::Stream, bytes))).await;
}

#[tokio::test]
async fn an_acknowledgement_is_cut_in_its_middle() {
    survives(&[1, 9, 33, 700].map(|bytes| Cut::Request(Link::Stream, bytes))).await;
}

#[tokio::test]
async fn the_answers_to_statements_are_cut_in_their_middle() {
    survives(&[0, 3, 17, 30, 111, 900].map(|bytes| Cut::Reply(Link::Sql, bytes))).await;
}

#[tokio::test]
async fn statements_are_cut_in_their_middle() {
    survives(&PLACES.map(|bytes| Cut::Request(Link::Sql, bytes))).await;
}

#[tokio::test]
async fn a_commit_of_unknown_outcome_is_neither_lost_nor_repeated() {
    survives(&[
        Cut::AfterCommit,
        Cut::BeforeCommit,
        Cut::AfterCommit,
        Cut::AfterCommit,
        Cut::BeforeCommit,
        Cut::AfterCommit,
    ])
    .await;
}
