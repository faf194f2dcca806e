//! What the walk asks the writer about a relation that the stream described, before it goes on.
//!
//! The catalog is ahead of the stream. What it says now is of use as a bound (`catalog/numbers.rs`), or for what cannot change meanwhile.

use tokio::sync::{mpsc, oneshot};

use super::{Capture, writer_gone};
use crate::catalog::Description;
use crate::error::Result;
use crate::inbox::Ask;
use crate::observe::{Observation, observe};
use crate::position::EventId;

/// What is asked about a relation.
#[derive(Debug, Clone, Copy)]
pub(super) enum Question {
    /// Which columns it has, of a table that is watched.
    Columns(u32),
    /// Of which table it is: no description knows it.
    Met(u32),
    /// Whom it may concern that it has changes: what it was part of cannot be known any more.
    Lost(u32),
    /// Whom it concerns that some of its columns are not known for certain.
    Uncertain(u32),
}

/// What the catalog said of a table.
pub(super) struct Said {
    description: Option<Description>,
    /// It showed every transaction before this one.
    shown_before: u32,
}

impl Said {
    /// Transaction ids are compared as PostgreSQL does (`TransactionIdPrecedes`).
    fn shows(&self, xid: u32) -> bool {
        (xid.wrapping_sub(self.shown_before) as i32) < 0
    }
}

impl Capture {
    /// A change of a relation of which something is not known: the first is enough.
    pub(super) fn note_unknown(&mut self, relation: u32) {
        if self.news_at().is_none() {
            return;
        }
        if self.relations.unknown.remove(&relation) {
            self.questions.push(Question::Lost(relation));
        }
        if self.relations.uncertain.contains_key(&relation) {
            self.questions.push(Question::Uncertain(relation));
        }
    }

    /// Asks what there is to ask, and waits for the answers.
    ///
    /// What is published and not described is a partition that joined where no event trigger may be, or was put off: its
    /// description comes later than its first rows. Of one that has left its table since, nothing more can be told than that.
    pub(super) async fn ask(&mut self, asks: &mpsc::Sender<Ask>) -> Result<()> {
        while let Some(question) = self.questions.pop() {
            let begin = self.begun()?;
            let place = EventId { lsn: begin.final_lsn, number: 0 };
            match question {
                Question::Columns(relation) => {
                    let table = self.relations.table(relation);
                    let said = match self.relations.said.remove(&table).filter(|said| said.shows(begin.xid)) {
                        Some(said) => said,
                        None => said_of(asks, table, begin.xid).await?,
                    };
                    self.relations.number(relation, said.description.as_ref());
                    if self.relations.is_partitioned(table) {
                        self.relations.said.insert(table, said);
                    }
                }
                Question::Met(relation) => {
                    let (answer, root) = oneshot::channel();
                    let ask = Ask::Root { partition: relation, xid: begin.xid, answer };
                    asks.send(ask).await.map_err(|_| writer_gone())?;
                    let root = root.await.map_err(|_| writer_gone())?;
                    observe(&Observation::Answered);
                    match root {
                        Some(root) => {
                            self.relations.adopt(relation, root);
                            self.questions.push(Question::Columns(relation));
                        }
                        None => drop(self.relations.unknown.insert(relation)),
                    }
                }
                Question::Lost(relation) => {
                    let (answer, told) = oneshot::channel();
                    let ask = Ask::Lost { partition: relation, place, answer };
                    asks.send(ask).await.map_err(|_| writer_gone())?;
                    let sessions = told.await.map_err(|_| writer_gone())?;
                    observe(&Observation::Stranger { relation, sessions });
                }
                Question::Uncertain(relation) => {
                    let table = self.relations.table(relation);
                    let Some(columns) = self.relations.uncertain.remove(&relation) else { continue };
                    let (answer, told) = oneshot::channel();
                    let ask = Ask::Uncertain { table, columns, place, answer };
                    asks.send(ask).await.map_err(|_| writer_gone())?;
                    let sessions = told.await.map_err(|_| writer_gone())?;
                    if sessions > 0 {
                        observe(&Observation::ColumnsUncertain { table, sessions });
                    }
                }
            }
        }
        Ok(())
    }
}

/// What the catalog says of a table once it shows a transaction.
async fn said_of(asks: &mpsc::Sender<Ask>, table: u32, xid: u32) -> Result<Said> {
    let (answer, said) = oneshot::channel();
    asks.send(Ask::Description { table, xid, answer }).await.map_err(|_| writer_gone())?;
    let (description, shown_before) = said.await.map_err(|_| writer_gone())?;
    observe(&Observation::Answered);
    // what cannot be read is as good as nothing
    let description = description.and_then(|text| serde_json::from_str(&text).ok());
    Ok(Said { description, shown_before })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_holds_for_what_was_shown() {
        let said = Said { description: None, shown_before: 5 };
        assert!(said.shows(4) && said.shows(u32::MAX));
        assert!(!said.shows(5) && !said.shows(6));
    }
}
