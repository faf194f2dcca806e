//! What the demo prints.

use anstyle::Style;

use super::super::line::{ASIDE, CHANGED, DELETED, INSERTED, line};
use super::diff::Diff;
use super::table;
use super::walk::{STATEMENTS, Walk};
use crate::error::{Error, ErrorKind, Result};

const HEAD: Style = Style::new().bold();

/// The whole page.
///
/// # Errors
/// [`ErrorKind::Protocol`] when the events do not lead from the table before to the table after.
pub(super) fn page(walk: &Walk) -> Result<String> {
    let diff = Diff::fold(&walk.before, &walk.events)?;
    if diff.after() != walk.after {
        return Err(Error::new(ErrorKind::Protocol, "the events do not lead to the table as it is").detail(format!(
            "The table is\n{}by the events\n{}",
            table::of_rows(&walk.after),
            table::of_rows(&diff.after())
        )));
    }
    let mut out = String::new();
    let mut part = |head: &str, aside: &str, body: &str| {
        let aside =
            if aside.is_empty() { String::new() } else { format!(" {ASIDE}({ASIDE:#}{aside}{ASIDE}){ASIDE:#}") };
        out.push_str(&format!("{HEAD}{head}{HEAD:#}{aside}\n{body}\n"));
    };
    let statements: String = STATEMENTS.iter().map(|statement| format!("  {statement}\n")).collect();
    let log: String = walk.events.iter().map(|event| format!("  {}\n", line(event))).collect();
    let session = format!("  {}\n", walk.session);
    let legend =
        format!("{INSERTED}+ inserted{INSERTED:#}, {DELETED}- deleted{DELETED:#}, {CHANGED}~ changed{CHANGED:#}");
    let server = format!("subscribed to table public.person, on PostgreSQL {}", short(&walk.server));
    part("A session", &server, &session);
    part("The statements", "each a transaction of another connection", &statements);
    part("The table before", "", &table::of_rows(&walk.before));
    part("The table after", "", &table::of_rows(&walk.after));
    part("The relational diff", &legend, &table::of_diff(&diff));
    part("The log", "from the session's inbox", &log);
    part("The notifications", "exactly as the client received them", &notifications(walk));
    out.push_str("Applied to the table before, the events give the table after: checked.\n");
    Ok(out)
}

/// `15.18` of `15.18 (Debian 15.18-0+deb12u1)`.
fn short(version: &str) -> &str {
    version.split(' ').next().unwrap_or(version)
}

fn notifications(walk: &Walk) -> String {
    let shown = walk.notifications.iter().map(|notification| {
        format!("  {ASIDE}on channel {}{ASIDE:#}\n  {}\n", notification.channel(), notification.payload())
    });
    shown.collect()
}
