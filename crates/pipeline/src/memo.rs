//! A memory for the items of a step: when one of a thousand clips changed, one
//! is computed.
//!
//! An item's key has the same ingredients as a step's ([`crate::Ingredients`]):
//! name and version of the step, version of the program, the name of the
//! memory, parameters and the content of the one item.
//!
//! Items are written in batches, each with one transaction. They are not synced
//! to the disk: what a power failure takes away is noticed when it is read, and
//! computed again.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::artifact::{Bytes, Json};
use crate::canonical::canonical_json;
use crate::context::StepContext;
use crate::error::{BoxError, PipelineError, Result};
use crate::hash::ContentHash;
use crate::objects::Durability;
use crate::options::Reuse;
use crate::parallel;
use crate::store::ItemRow;

/// So many items are written together: enough to spread the cost of a
/// transaction, few enough that a killed run loses little.
const BATCH: usize = 256;

/// A value that [`StepContext::memo`] can keep.
pub trait MemoValue: Sized + Send {
    /// The value as bytes.
    ///
    /// # Errors
    ///
    /// When it has no such form.
    fn encode(&self) -> Result<Vec<u8>, BoxError>;

    /// The value from what [`MemoValue::encode`] gave.
    ///
    /// # Errors
    ///
    /// When the bytes are of another type.
    fn decode(bytes: Vec<u8>) -> Result<Self, BoxError>;
}

impl<T: Serialize + DeserializeOwned + Send> MemoValue for Json<T> {
    fn encode(&self) -> Result<Vec<u8>, BoxError> {
        Ok(serde_json::to_vec(&self.0)?)
    }

    fn decode(bytes: Vec<u8>) -> Result<Self, BoxError> {
        Ok(Self(serde_json::from_slice(&bytes)?))
    }
}

impl MemoValue for Bytes {
    fn encode(&self) -> Result<Vec<u8>, BoxError> {
        Ok(self.0.clone())
    }

    fn decode(bytes: Vec<u8>) -> Result<Self, BoxError> {
        Ok(Self(bytes))
    }
}

/// An item's value, and, if it was computed now, the file that holds it.
struct Made<V> {
    value: V,
    row: ItemRow,
    staged: Option<std::path::PathBuf>,
}

impl StepContext {
    /// Computes a value for each item, on as many threads as the run has workers,
    /// and only for items whose value is not known from an earlier run.
    ///
    /// `name` tells apart several memories of one step; `content` says what an
    /// item holds, `compute` must depend on nothing but that and `params`. How
    /// many were computed is logged. Items take part in lineage: from a clip's
    /// content the way leads through the item to this step.
    ///
    /// # Errors
    ///
    /// The first error of `compute`; also when the step's time is up, or a value
    /// cannot be kept. What was computed until then stays known, up to the last
    /// full batch.
    pub fn memo<I: Sync, V: MemoValue, E: Into<BoxError>>(
        &self,
        name: &str,
        params: &impl Serialize,
        items: &[I],
        content: impl Fn(&I) -> ContentHash,
        compute: impl Fn(&I) -> Result<V, E> + Sync,
    ) -> Result<Vec<V>, BoxError> {
        let base = self.memo_base(name, params)?;
        let keys = items.iter().map(|item| {
            let input = content(item);
            (item_key(base, input), input)
        });
        let keys: Vec<(ContentHash, ContentHash)> = keys.collect();
        let known = match self.reuse {
            Reuse::Cache => self.store.known_items(&keys)?,
            Reuse::Nothing => vec![None; keys.len()],
        };
        let work: Vec<_> = (0..items.len()).collect();
        let mut values = Vec::with_capacity(items.len());
        let mut n_computed = 0;
        for batch in work.chunks(BATCH) {
            let made = parallel::try_map(self.workers, batch, |&index| {
                self.check()?;
                if let Some(row) = known[index]
                    && let Some(value) = self.recall(&row)
                {
                    return Ok(Made {
                        value,
                        row,
                        staged: None,
                    });
                }
                let value = compute(&items[index]).map_err(Into::into)?;
                self.stage_item(value, keys[index])
            })?;
            n_computed += made.iter().filter(|made| made.staged.is_some()).count();
            values.extend(self.keep_items(made)?);
        }
        let n_known = items.len() - n_computed;
        self.info(format!(
            "{name}: {n_computed} computed, {n_known} from the cache"
        ));
        Ok(values)
    }

    fn memo_base(&self, name: &str, params: &impl Serialize) -> Result<ContentHash, BoxError> {
        let ingredients = json!({
            "step": self.step,
            "version": self.version,
            "program": self.program,
            "memo": name,
            "params": serde_json::to_value(params)?,
        });
        let text = format!("biophony item 1\n{}", canonical_json(&ingredients));
        Ok(ContentHash::of(text.as_bytes()))
    }

    /// The value if its bytes are whole and of this type.
    fn recall<V: MemoValue>(&self, row: &ItemRow) -> Option<V> {
        V::decode(self.store.objects().read(row.output).ok()?).ok()
    }

    fn stage_item<V: MemoValue>(
        &self,
        value: V,
        (key, input): (ContentHash, ContentHash),
    ) -> Result<Made<V>, BoxError> {
        let bytes = value.encode()?;
        let path = self.folder.join(format!("item-{key}"));
        std::fs::write(&path, &bytes).map_err(|source| PipelineError::Io {
            action: "write",
            path: path.clone(),
            source,
        })?;
        let row = ItemRow {
            key,
            input,
            output: ContentHash::of(&bytes),
            n_bytes: bytes.len() as u64,
        };
        let staged = Some(path);
        Ok(Made { value, row, staged })
    }

    /// Moves a batch into the store and writes it down, together with the fact
    /// that this step used it.
    fn keep_items<V>(&self, made: Vec<Made<V>>) -> Result<Vec<V>> {
        let _kept = self.store.locks().keep()?;
        self.check()?;
        for made in &made {
            // Two items of the same content were staged as one file.
            if let Some(path) = made.staged.as_ref().filter(|path| path.exists()) {
                self.store.objects().place(path, Durability::Cached)?;
            }
        }
        self.store
            .use_items(self.execution, made.iter().map(|made| &made.row))?;
        Ok(made.into_iter().map(|made| made.value).collect())
    }
}

fn item_key(base: ContentHash, input: ContentHash) -> ContentHash {
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(base.as_bytes());
    bytes[32..].copy_from_slice(input.as_bytes());
    ContentHash::of(&bytes)
}
