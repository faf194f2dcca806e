//! What writing a batch takes, step by step, each in a statement whose parameters are of bounded size: one change may concern
//! any number of sessions, and one row's fields may together be larger than a message to the server can be.

use uuid::Uuid;

use crate::inbox::{Batch, Entry, Notification, Pointer, Resend};
use crate::position::{EventId, Lsn};

/// The parameters of a statement, or of several that are sent at once, weigh no more, but for a single entry that does by itself.
/// Twice what a batch is cut at, so that one is mostly written in one go; little enough that the server has it long before it takes
/// the writer for dead (see `slot::fence`), for which each answer counts.
const MAX_BYTES: usize = 8 << 20;

/// Around the texts of a row of parameters: lengths, a number, a time.
const ROW_BYTES: usize = 100;

/// A run of what may be seen: two numbers as text.
const RUN_BYTES: usize = 20;

/// So many rows are worth a COPY, which is a round trip more: the server says first that it is ready.
pub(super) const COPY_FROM: usize = 64;

/// One statement.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step<'b> {
    Begin,
    /// Journal, inbox, notifications and progress in one.
    Small,
    Resend(&'b [Resend]),
    Journal(&'b [Entry]),
    Inbox(&'b [Pointer]),
    MarkLast(&'b [(Uuid, EventId)]),
    FindLast(Lsn),
    AddRoutes,
    RemoveRoutes,
    Describe,
    Forget,
    Notify(&'b [Notification]),
    Progress,
    EndSubscriptions,
    RemoveGaps,
    EmptyInboxes,
    NoteFailures,
    Commit,
}

/// The steps for a batch, in their order.
pub(super) fn steps(batch: &Batch) -> Vec<Step<'_>> {
    if batch.is_plain() && batch.pointers.len() < COPY_FROM && batch.notifications.len() < COPY_FROM {
        return vec![Step::Begin, Step::Small, Step::Commit];
    }
    let mut steps = vec![Step::Begin];
    if !batch.resends.is_empty() {
        // before the inboxes have what is told now
        steps.push(Step::Resend(&batch.resends));
    }
    steps.extend(slices(&batch.entries, entry_bytes).into_iter().map(Step::Journal));
    steps.extend(slices(&batch.pointers, pointer_bytes).into_iter().map(Step::Inbox));
    if !batch.last_before.is_empty() {
        steps.push(Step::MarkLast(&batch.last_before));
    }
    steps.extend(batch.ends_resumed.map(Step::FindLast));
    if !batch.routes.is_empty() {
        steps.extend([Step::AddRoutes, Step::RemoveRoutes]);
    }
    if !batch.descriptions.is_empty() {
        steps.extend([Step::Describe, Step::Forget]);
    }
    steps.extend(slices(&batch.notifications, notification_bytes).into_iter().map(Step::Notify));
    if batch.is_durable() {
        steps.push(Step::Progress);
    }
    // these pass over rows that somebody holds locked, which is no longer whoever ended or deleted them: that can be seen by now
    if !batch.routes.is_empty() {
        steps.push(Step::EndSubscriptions);
    }
    if !batch.told_gaps.is_empty() {
        steps.push(Step::RemoveGaps);
    }
    if !batch.deleted_sessions.is_empty() {
        steps.push(Step::EmptyInboxes);
    }
    if !batch.set_aside.is_empty() {
        steps.push(Step::NoteFailures);
    }
    steps.push(Step::Commit);
    steps
}

/// The steps that are sent together, in one round trip.
pub(super) fn rounds<'s, 'b>(steps: &'s [Step<'b>]) -> Vec<&'s [Step<'b>]> {
    slices(steps, |step| match step {
        Step::Journal(entries) => entries.iter().map(entry_bytes).sum(),
        Step::Inbox(pointers) => pointers.iter().map(pointer_bytes).sum(),
        Step::Notify(notifications) => notifications.iter().map(notification_bytes).sum(),
        // as large as a batch lets them become
        _ => 0,
    })
}

fn entry_bytes(entry: &Entry) -> usize {
    ROW_BYTES + entry.weight() as usize
}

fn pointer_bytes(pointer: &Pointer) -> usize {
    ROW_BYTES + pointer.visible.as_ref().map_or(0, |runs| runs.len() * RUN_BYTES)
}

fn notification_bytes(notification: &Notification) -> usize {
    ROW_BYTES + notification.payload.len()
}

/// Cuts where the weight would go over the limit.
fn slices<T>(items: &[T], weight: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let mut slices = Vec::new();
    let mut from = 0;
    let mut bytes = 0;
    for (at, item) in items.iter().enumerate() {
        let more = weight(item);
        if at > from && bytes + more > MAX_BYTES {
            slices.push(&items[from..at]);
            from = at;
            bytes = 0;
        }
        bytes += more;
    }
    if from < items.len() {
        slices.push(&items[from..]);
    }
    slices
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_all_of_it_in_order_and_none_is_over_the_limit() {
        let sizes = [1, 0, MAX_BYTES - 1, 1, 5 * MAX_BYTES, 3, MAX_BYTES / 2, MAX_BYTES / 2, 7];
        let slices = slices(&sizes, |&size| size);
        assert_eq!(slices.concat(), sizes);
        for slice in &slices {
            assert!(slice.len() == 1 || slice.iter().sum::<usize>() <= MAX_BYTES, "{slice:?}");
        }
        assert_eq!(slices.len(), 5);
        assert!(super::slices(&[0; 0], |_| 1).is_empty());
    }
}
