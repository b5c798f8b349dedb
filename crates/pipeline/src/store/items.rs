//! Items of steps: what [`crate::StepContext::memo`] knows.

use rusqlite::{OptionalExtension, params};

use crate::error::Result;
use crate::hash::ContentHash;
use crate::store::{Execution, Store};

/// An item that was computed once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ItemRow {
    pub(crate) key: ContentHash,
    /// The content that it was computed from.
    pub(crate) input: ContentHash,
    /// What came out.
    pub(crate) output: ContentHash,
    pub(crate) n_bytes: u64,
}

impl Store {
    /// What is known of items with these keys and inputs.
    pub(crate) fn known_items(
        &self,
        keys: &[(ContentHash, ContentHash)],
    ) -> Result<Vec<Option<ItemRow>>> {
        self.read(|db| {
            // One transaction, so that the database is locked once.
            let transaction = db.unchecked_transaction()?;
            let mut query =
                transaction.prepare_cached("SELECT output, n_bytes FROM items WHERE key = ?1")?;
            let known = keys.iter().map(|&(key, input)| {
                query
                    .query_row([key], |row| {
                        Ok(ItemRow {
                            key,
                            input,
                            output: row.get(0)?,
                            n_bytes: row.get::<_, i64>(1)?.cast_unsigned(),
                        })
                    })
                    .optional()
            });
            known.collect()
        })
    }

    /// Writes down that a step used these items, new ones among them.
    pub(crate) fn use_items<'a>(
        &self,
        Execution(execution): Execution,
        items: impl Iterator<Item = &'a ItemRow>,
    ) -> Result<()> {
        self.write(|db| {
            let mut put = db.prepare_cached(
                "INSERT INTO items (key, input, output, n_bytes) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (key) DO UPDATE SET output = ?3, n_bytes = ?4 RETURNING id",
            )?;
            let mut note = db.prepare_cached(
                "INSERT OR IGNORE INTO item_uses (execution, item) VALUES (?1, ?2)",
            )?;
            for item in items {
                let row = params![
                    item.key,
                    item.input,
                    item.output,
                    item.n_bytes.cast_signed()
                ];
                let id: i64 = put.query_row(row, |row| row.get(0))?;
                note.execute([execution, id])?;
            }
            Ok(())
        })
    }
}
