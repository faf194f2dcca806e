//! The database's encoding, for the stream: the server does not convert it.

use tokio_postgres::Client;

use super::connect::error;
use crate::error::Result;
use crate::pgoutput::Encoding;

/// The encoding's name and, unless it is UTF8, what the engine needs to convert it.
///
/// # Errors
/// Those of the connection.
pub async fn encoding(client: &Client) -> Result<(String, Option<Encoding>)> {
    let row = client.query_one("select current_setting('server_encoding')", &[]).await.map_err(error)?;
    let name: String = row.get(0);
    if name == "UTF8" {
        return Ok((name, None));
    }
    let rows = client.query("select own, utf8 from event._characters()", &[]).await.map_err(error)?;
    let encoding = Encoding::new(&name, rows.into_iter().map(|row| (row.get(0), row.get(1))));
    Ok((name, Some(encoding)))
}

/// Keys of subscriptions that cannot be had in UTF-8 are made such that they can be read. They match nothing: a change with such a key
/// is a gap.
///
/// # Errors
/// Those of the connection.
pub async fn make_readable(client: &Client) -> Result<()> {
    client
        .batch_execute(
            "do $$ begin
                 if current_setting('server_encoding') <> 'UTF8' then
                     update event.route r set key = readable.key
                     from (select subscription_id, array(select event._readable(k.value)
                                                         from unnest(key) with ordinality k (value, at) order by k.at) as key
                           from event.route where key is not null) readable
                     where readable.subscription_id = r.subscription_id and readable.key <> r.key;
                 end if;
             end $$",
        )
        .await
        .map_err(error)
}
