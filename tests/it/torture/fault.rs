//! What can go wrong from outside.

use std::fmt;

use tidewire::crash::POINTS;

use crate::oracle::Chance;
use crate::support::fault::Backend;
use crate::support::fault_proxy::{Cut, Link};

/// A fault.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// `kill -9` of Tidewire.
    KillTidewire,
    /// Tidewire is asked to stop.
    StopTidewire,
    /// Tidewire stands still for longer than the server waits for it.
    FreezeTidewire,
    /// It dies at a named point, when it comes there for the so many-th time.
    Crash(&'static str, usize),
    /// One that stands by takes over from one that is killed.
    TakeOver,
    /// `kill -9` of the process of a writer's connection: the server starts itself anew.
    KillWriter,
    /// `kill -9` of the process of one of Tidewire's connections.
    KillBackend(Backend),
    /// `pg_terminate_backend` of one of Tidewire's connections.
    Terminate(Backend),
    /// `pg_cancel_backend` of one of Tidewire's connections, over and over while something is written.
    Cancel(Backend),
    /// `kill -9` of the whole server.
    KillServer,
    /// `kill -9` of both at once.
    KillBoth,
    RestartFast,
    RestartImmediate,
    /// A connection of Tidewire's is cut in the middle of a message.
    Cut(Cut),
}

/// What a short run does in any case, in rounds.
pub const USUAL: [&[Fault]; 3] = [
    &[Fault::KillTidewire, Fault::Cut(Cut::AfterCommit)],
    &[Fault::KillServer, Fault::Crash("before_commit", 2)],
    &[Fault::TakeOver, Fault::Cancel(Backend::Writer)],
];

impl Fault {
    pub fn draw(chance: &mut Chance) -> Fault {
        let backend = *chance.pick(&Backend::ALL);
        let link = *chance.pick(&[Link::Stream, Link::Sql]);
        let bytes = *chance.pick(&[1, 20, 300, 5_000, 60_000]);
        let bytes = chance.between(1, bytes);
        match chance.below(19) {
            0 | 1 => Fault::KillTidewire,
            2 => Fault::StopTidewire,
            3 => Fault::FreezeTidewire,
            4..7 => {
                let point = chance.pick::<&str>(&POINTS);
                // a start and upkeep come by seldom
                let is_rare = ["load", "rotate", "drop_partitions"].iter().any(|rare| point.ends_with(rare));
                Fault::Crash(point, if is_rare { 1 } else { chance.between(1, 6) })
            }
            7 => Fault::TakeOver,
            8 => Fault::KillWriter,
            9 => Fault::KillBackend(backend),
            10 => Fault::Terminate(backend),
            11 => Fault::KillServer,
            12 => Fault::KillBoth,
            13 => Fault::RestartFast,
            14 => Fault::RestartImmediate,
            15 => Fault::Cut(Cut::Reply(link, bytes)),
            16 => Fault::Cut(Cut::Request(link, bytes)),
            17 => Fault::Cancel(*chance.pick(&[Backend::Writer, Backend::Writer, Backend::Upkeep, Backend::Stream])),
            _ => Fault::Cut(if chance.one_in(2) { Cut::BeforeCommit } else { Cut::AfterCommit }),
        }
    }

    /// Its kind, as the table names it.
    pub fn kind(self) -> &'static str {
        match self {
            Fault::KillTidewire => "kill -9 of tidewire",
            Fault::StopTidewire => "SIGTERM to tidewire",
            Fault::FreezeTidewire => "SIGSTOP of tidewire beyond wal_sender_timeout",
            Fault::Crash(..) => "death at a named point",
            Fault::TakeOver => "a standby takes over",
            Fault::KillWriter => "kill -9 of a writer's backend",
            Fault::KillBackend(Backend::Stream) => "kill -9 of our walsender",
            Fault::KillBackend(_) => "kill -9 of our SQL connection's backend",
            Fault::Terminate(Backend::Stream) => "pg_terminate_backend of our walsender",
            Fault::Terminate(_) => "pg_terminate_backend of our SQL connection",
            Fault::Cancel(_) => "pg_cancel_backend of our connection",
            Fault::KillServer => "kill -9 of the whole server",
            Fault::KillBoth => "kill -9 of both",
            Fault::RestartFast => "server restart, fast",
            Fault::RestartImmediate => "server restart, immediate",
            Fault::Cut(Cut::BeforeCommit | Cut::AfterCommit) => "connection cut around our commit",
            Fault::Cut(Cut::Reply(Link::Stream, _) | Cut::Request(Link::Stream, _)) => "stream cut within a message",
            Fault::Cut(_) => "SQL connection cut within a message",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Crash(point, count) => write!(f, "death at {point}:{count}"),
            Fault::Cut(cut) => write!(f, "{cut:?}"),
            fault => f.write_str(fault.kind()),
        }
    }
}
