//! What roles keep: near their limits, or not.

use tokio_postgres::Client;

use super::Requirement;
use crate::db::quota;
use crate::error::Result;

/// From this much of a limit on it is a warning, as in the running program's log.
const NEAR: f64 = 0.9;

/// A line for each limit that a role is near, or one for all.
pub(super) async fn roles(client: &Client) -> Result<Vec<Requirement>> {
    let near = quota::near(client, NEAR).await?;
    if near.is_empty() {
        return Ok(vec![Requirement::met("no role is near its limits")]);
    }
    Ok(near
        .into_iter()
        .map(|near| {
            Requirement::warning(format!("role \"{}\" is near a limit: {}", near.name, near.shown))
                .remedy(format!("{}  -- doubles the limit", near.remedy))
        })
        .collect())
}
