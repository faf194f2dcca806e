//! The figures of `/metrics`. Names and units as Prometheus has them: base units, counters end in `_total`.
//!
//! No label has a value that a user chose: there are as many series as stand here, whatever the number of sessions.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use super::health::{self, Phase};
use super::{Observation, Outlook};
use crate::db::status::{Sample, Stock};

static RENDERER: OnceLock<PrometheusHandle> = OnceLock::new();

/// When the oldest event was committed that nobody has acknowledged: it grows older also while nobody looks.
static OLDEST: Mutex<Option<Instant>> = Mutex::new(None);

fn oldest() -> MutexGuard<'static, Option<Instant>> {
    OLDEST.lock().unwrap_or_else(PoisonError::into_inner)
}

const WAL_STATUS: [&str; 5] = ["reserved", "extended", "unreserved", "lost", "missing"];

/// Name, what it says.
const COUNTERS: [(&str, &str); 15] = [
    ("tidewire_changes_total", "Row changes read from the WAL and decoded, watched or not."),
    ("tidewire_transactions_total", "Transactions read from the WAL that touch a published table."),
    ("tidewire_notifications_total", "Events sent, with NOTIFY or to sessions in the process."),
    ("tidewire_inbox_rows_written_total", "Events put into the inboxes of durable sessions."),
    ("tidewire_batches_total", "Database transactions by which events were delivered."),
    (
        "tidewire_gaps_total",
        "Sessions that were told that changes are lost to them, by reason; of change_too_large, change_failed and not_utf8, the changes.",
    ),
    (
        "tidewire_notifications_skipped_total",
        "Events that were not sent because PostgreSQL's queue of notifications was filling up.",
    ),
    (
        "tidewire_changes_too_large_total",
        "Changes that were too large to be told; their subscribers were told of a gap.",
    ),
    (
        "tidewire_changes_set_aside_total",
        "Changes that were set aside because they failed; their subscribers were told of a gap.",
    ),
    ("tidewire_retries_total", "Failures after which it began anew."),
    ("tidewire_stalls_total", "Times that delivery came to a halt though nothing had failed."),
    ("tidewire_upkeep_failures_total", "Failures of the upkeep: schema changes, partitions, abandoned sessions."),
    ("tidewire_values_as_text_total", "Values that could not be read as their type and were told as text."),
    ("tidewire_monitor_failures_total", "Times that the monitor could not ask the database."),
    ("process_cpu_seconds_total", "Processor time, user and system."),
];

const GAUGES: [(&str, Unit, &str); 23] = [
    (
        "process_start_time_seconds",
        Unit::Seconds,
        "When the program was started, since 1970: it changes with a restart.",
    ),
    ("tidewire_build_info", Unit::Count, "1, with the program's version."),
    ("tidewire_ready", Unit::Count, "1 while events are delivered, as /ready says."),
    (
        "tidewire_state",
        Unit::Count,
        "1 for what the program is doing: starting, standing_by, creating_slot, delivering, retrying, stopping.",
    ),
    ("tidewire_wal_lag_bytes", Unit::Bytes, "WAL that is written and not yet delivered."),
    ("tidewire_wal_lag_seconds", Unit::Seconds, "Age of the oldest WAL that is not yet delivered."),
    ("tidewire_wal_growth_bytes_per_second", Unit::Bytes, "How fast the WAL that the slot keeps grows."),
    ("tidewire_slot_active", Unit::Count, "1 while the slot is read."),
    (
        "tidewire_slot_wal_status",
        Unit::Count,
        "1 for the slot's wal_status: reserved, extended, unreserved, lost, missing.",
    ),
    ("tidewire_slot_retained_bytes", Unit::Bytes, "WAL that the slot keeps from being removed."),
    (
        "tidewire_slot_safe_bytes",
        Unit::Bytes,
        "WAL that can be written before the slot is in danger; +Inf without a limit.",
    ),
    (
        "tidewire_slot_lost_in_seconds",
        Unit::Seconds,
        "When the slot is lost at the present growth; +Inf when it is not.",
    ),
    ("tidewire_sessions", Unit::Count, "Sessions, durable and live."),
    ("tidewire_subscriptions", Unit::Count, "Subscriptions; an estimate when they are many."),
    (
        "tidewire_inbox_rows",
        Unit::Count,
        "Events that are not acknowledged, over all sessions; an estimate when they are many.",
    ),
    ("tidewire_inbox_bytes", Unit::Bytes, "Size of the inboxes and of the journal of events on disk."),
    (
        "tidewire_inbox_oldest_seconds",
        Unit::Seconds,
        "Age of the oldest event that is not acknowledged; 0 without one.",
    ),
    (
        "tidewire_role_limit_used_ratio",
        Unit::Count,
        "How much of a limit the role uses that is nearest to it, by limit: sessions, subscriptions, inbox_size; 1 is all of it.",
    ),
    ("tidewire_notification_queue_ratio", Unit::Count, "How full PostgreSQL's queue of notifications is, 0 to 1."),
    (
        "tidewire_monitor_up",
        Unit::Count,
        "1 when the monitor's last question was answered: the figures of the database are of these seconds.",
    ),
    (
        "tidewire_batch_in_writing_seconds",
        Unit::Seconds,
        "For how long the present batch has been in writing; 0 without one.",
    ),
    ("process_resident_memory_bytes", Unit::Bytes, "Memory in use."),
    ("process_resident_memory_max_bytes", Unit::Bytes, "The most memory that was in use at once."),
];

/// Begins to count. Until then counting costs nothing and is lost.
pub fn begin() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let renderer = recorder.handle();
    if metrics::set_global_recorder(recorder).is_err() || RENDERER.set(renderer).is_err() {
        return;
    }
    for (name, help) in COUNTERS {
        describe_counter!(name, help);
    }
    for (name, unit, help) in GAUGES {
        describe_gauge!(name, unit, help);
    }
    // what has not happened yet is 0, so that the first time is a rise
    for (name, _) in COUNTERS {
        if !["tidewire_gaps_total", "process_cpu_seconds_total"].contains(&name) {
            counter!(name).absolute(0);
        }
    }
    for reason in [
        "slot_lost",
        "database_restored",
        "inbox_full",
        "inbox_too_old",
        "change_too_large",
        "change_failed",
        "not_utf8",
        "partition_gone",
        "columns_uncertain",
        "unpublished",
    ] {
        counter!("tidewire_gaps_total", "reason" => reason).absolute(0);
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    gauge!("process_start_time_seconds").set(since.as_secs_f64());
    gauge!("tidewire_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1);
}

/// The figures as Prometheus reads them; empty before [`begin`].
pub fn render() -> String {
    let Some(renderer) = RENDERER.get() else { return String::new() };
    state();
    process();
    renderer.render()
}

/// Counts what an observation says.
pub(super) fn count(observation: &Observation<'_>) {
    match observation {
        Observation::Read { changes, transactions } => {
            counter!("tidewire_changes_total").increment(*changes);
            counter!("tidewire_transactions_total").increment(*transactions);
        }
        Observation::BatchWritten { events, inbox_rows } => {
            counter!("tidewire_batches_total").increment(1);
            counter!("tidewire_notifications_total").increment(*events as u64);
            counter!("tidewire_inbox_rows_written_total").increment(*inbox_rows as u64);
        }
        Observation::GapTold { loss, sessions } => gap(loss.as_str(), *sessions),
        Observation::InboxEmptied { reason } => {
            gap(if *reason == "inbox_full" { "inbox_full" } else { "inbox_too_old" }, 1);
        }
        Observation::NotificationsSkipped { notifications } => {
            counter!("tidewire_notifications_skipped_total").increment(*notifications as u64);
        }
        Observation::ChangeTooLarge { .. } => {
            counter!("tidewire_changes_too_large_total").increment(1);
            gap("change_too_large", 1);
        }
        Observation::SetAside { code, .. } => {
            counter!("tidewire_changes_set_aside_total").increment(1);
            gap(if *code == "not_utf8" { "not_utf8" } else { "change_failed" }, 1);
        }
        Observation::PassedOver { sessions, .. } => {
            counter!("tidewire_changes_set_aside_total").increment(1);
            gap("change_failed", *sessions);
        }
        Observation::Stranger { sessions, .. } => gap("partition_gone", *sessions),
        Observation::Republished { sessions, .. } => gap("unpublished", *sessions),
        Observation::ColumnsUncertain { sessions, .. } => gap("columns_uncertain", *sessions),
        Observation::Retrying { .. } => counter!("tidewire_retries_total").increment(1),
        Observation::Stalled { .. } => counter!("tidewire_stalls_total").increment(1),
        Observation::UpkeepFailed { .. } => counter!("tidewire_upkeep_failures_total").increment(1),
        Observation::ValueAsText { .. } => counter!("tidewire_values_as_text_total").increment(1),
        Observation::MonitorFailed { .. } => {
            counter!("tidewire_monitor_failures_total").increment(1);
            gauge!("tidewire_monitor_up").set(0);
        }
        Observation::Sampled { sample, outlook } => sampled(sample, outlook),
        Observation::StockTaken { stock } => stock_taken(stock),
        _ => {}
    }
}

/// So many sessions were told of a gap.
fn gap(reason: &'static str, sessions: u64) {
    counter!("tidewire_gaps_total", "reason" => reason).increment(sessions);
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus has floating point numbers only")]
fn sampled(sample: &Sample, outlook: &Outlook) {
    gauge!("tidewire_monitor_up").set(1);
    gauge!("tidewire_wal_lag_bytes").set(sample.lag() as f64);
    gauge!("tidewire_wal_lag_seconds").set(outlook.lag.as_secs_f64());
    gauge!("tidewire_wal_growth_bytes_per_second").set(outlook.growth);
    gauge!("tidewire_slot_active").set(u8::from(sample.is_active));
    let status = sample.wal_status.as_deref().unwrap_or("missing");
    for one in WAL_STATUS {
        gauge!("tidewire_slot_wal_status", "status" => one).set(u8::from(one == status));
    }
    gauge!("tidewire_slot_retained_bytes").set(sample.retained() as f64);
    gauge!("tidewire_slot_safe_bytes").set(sample.safe.map_or(f64::INFINITY, |safe| safe as f64));
    gauge!("tidewire_slot_lost_in_seconds").set(outlook.lost_within.map_or(f64::INFINITY, |time| time.as_secs_f64()));
    gauge!("tidewire_notification_queue_ratio").set(sample.notification_queue);
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus has floating point numbers only")]
fn stock_taken(stock: &Stock) {
    let figures = [
        (stock.durable_sessions, gauge!("tidewire_sessions", "kind" => "durable")),
        (stock.live_sessions, gauge!("tidewire_sessions", "kind" => "live")),
        (stock.subscriptions, gauge!("tidewire_subscriptions")),
        (stock.inbox_rows, gauge!("tidewire_inbox_rows")),
        (stock.inbox_bytes, gauge!("tidewire_inbox_bytes")),
    ];
    for (figure, gauge) in figures {
        if let Some(figure) = figure {
            gauge.set(figure as f64);
        }
    }
    // a role that is gone must not stay in sight
    for (limit, used) in [
        ("sessions", stock.sessions_used),
        ("subscriptions", stock.subscriptions_used),
        ("inbox_size", stock.inbox_size_used),
    ] {
        gauge!("tidewire_role_limit_used_ratio", "limit" => limit).set(used.unwrap_or_default());
    }
    if stock.inbox_bytes.is_none() {
        return;
    }
    let age = stock.oldest_age.and_then(|age| Duration::try_from_secs_f64(age).ok());
    *oldest() = age.and_then(|age| Instant::now().checked_sub(age));
}

fn state() {
    let phase = health::phase();
    let phases = [
        ("starting", phase == Phase::Starting),
        ("standing_by", phase == Phase::StandingBy),
        ("creating_slot", phase == Phase::CreatingSlot),
        ("delivering", phase == Phase::Delivering),
        ("retrying", matches!(phase, Phase::Retrying(_))),
        ("stopping", phase == Phase::Stopping),
    ];
    for (name, is_it) in phases {
        gauge!("tidewire_state", "state" => name).set(u8::from(is_it));
    }
    gauge!("tidewire_ready").set(u8::from(health::unready().is_none()));
    gauge!("tidewire_inbox_oldest_seconds").set(oldest().map_or(0.0, |since| since.elapsed().as_secs_f64()));
    gauge!("tidewire_batch_in_writing_seconds").set(health::batch_age().as_secs_f64());
}

/// What Linux tells of the process; elsewhere these figures are missing.
fn process() {
    let read = |name| std::fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
    let status = read("status");
    let kilobytes = |name: &str| -> Option<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().strip_suffix("kB")?.trim().parse().ok()
    };
    if let (Some(now), Some(most)) = (kilobytes("VmRSS"), kilobytes("VmHWM")) {
        gauge!("process_resident_memory_bytes").set(now * 1024.0);
        gauge!("process_resident_memory_max_bytes").set(most * 1024.0);
    }
    // proc(5): the name, in parentheses, may hold anything; user and system time are the 12th and 13th after it
    let stat = read("stat");
    let mut ticks = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).map(str::parse::<u64>);
    if let (Some(Ok(user)), Some(Ok(system))) = (ticks.next(), ticks.next())
        && let Ok(Some(a_second)) = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)
        && let Ok(a_second) = u64::try_from(a_second)
    {
        counter!("process_cpu_seconds_total").absolute((user + system) / a_second.max(1));
    }
}
