//! Letting aliases on a server mean what they mean here, without taking them from
//! others: a server is shared, and what is in use there is no business of one home.
//!
//! An alias is moved only while it means there what was last sent from here; as long as
//! none was sent, while it means nothing there. When somebody else has moved or removed
//! it, it is left alone and the difference is told, for a person to decide;
//! [`Overwrite::Any`] is that decision.
//!
//! `previous` is not sent for its own sake: when `champion` moves, it becomes what was
//! in use *there*, so that there is always a way back.
//!
//! MLflow has no request that compares and sets at once. What an alias means is read
//! right before it is set; between the two somebody else may still be faster.

use std::collections::BTreeMap;
use std::fmt;

use crate::entities::{RegisteredModel, Tag, value_of};
use crate::error::{ErrorCode, Result, TrackingError};
use crate::store::{CHAMPION, PREVIOUS, TrackingStore};

use super::mirror::Mirror;

/// The beginning of a registered model's tag that says which aliases were sent to a
/// store; it ends with that store.
const ALIASES_SENT: &str = "biophony.aliases_sent/";

/// Which aliases on a server may be moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overwrite {
    /// Those that mean what was last sent from here, or nothing while none was sent.
    Own,
    /// Also those that somebody else has moved or removed.
    Any,
}

/// What became of the aliases of a registered model.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AliasMoves {
    /// Those that were set or removed on the server.
    pub moved: Vec<String>,
    /// Those that were left alone.
    pub conflicts: Vec<AliasConflict>,
}

/// An alias that means one thing here and another on the server, where it was not put
/// by this home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AliasConflict {
    /// The registered model.
    pub model: String,
    /// The alias.
    pub alias: String,
    /// The version that it means here.
    pub here: u32,
    /// The number that this version has on the server.
    pub copy: u32,
    /// The version that it means on the server, if any.
    pub there: Option<u32>,
}

impl fmt::Display for AliasConflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            model,
            alias,
            here,
            copy,
            there,
        } = self;
        match there {
            Some(there) => write!(
                f,
                "`{alias}` of `{model}` means version {there} there, which was not set from here"
            )?,
            None => write!(
                f,
                "`{alias}` of `{model}` was removed there by somebody else"
            )?,
        }
        write!(f, "; here it means version {here}, which is {copy} there")
    }
}

/// What has to be done about one alias.
enum Step {
    /// It means there what it should.
    Settled(u32),
    Move(u32),
    Remove,
    /// It is gone here and not ours there.
    Forget,
    Conflict(AliasConflict),
}

impl Mirror<'_> {
    /// Lets the aliases of a registered model mean there what they mean here, as far as
    /// `overwrite` allows.
    ///
    /// # Errors
    ///
    /// When either side fails; the next call goes on.
    pub(super) fn aliases(&self, model: &str, overwrite: Overwrite) -> Result<AliasMoves> {
        let mut done = AliasMoves::default();
        let Some(here) = self.model_here(model)? else {
            return Ok(done);
        };
        let mut sent = self.sent(&here);
        for alias in self.names(&here, &sent) {
            let there = self.aliases_there(model)?;
            let step = self.step(&here, &alias, sent.get(&alias).copied(), &there)?;
            let step = match (step, overwrite) {
                (Some(Step::Conflict(conflict)), Overwrite::Any) => Some(Step::Move(conflict.copy)),
                (step, _) => step,
            };
            let before = sent.clone();
            match step {
                None => {}
                Some(Step::Settled(version)) => drop(sent.insert(alias, version)),
                Some(Step::Forget) => drop(sent.remove(&alias)),
                Some(Step::Conflict(conflict)) => done.conflicts.push(conflict),
                Some(Step::Remove) => {
                    self.to.delete_registered_model_alias(model, &alias)?;
                    sent.remove(&alias);
                    done.moved.push(alias);
                }
                Some(Step::Move(version)) => {
                    if alias == CHAMPION {
                        self.keep_previous(&here, &there)?;
                    }
                    self.to.set_registered_model_alias(model, &alias, version)?;
                    sent.insert(alias.clone(), version);
                    done.moved.push(alias);
                }
            }
            if sent != before {
                let tag = Tag::new(self.sent_tag(), describe(&sent));
                self.from.set_registered_model_tag(model, &tag)?;
            }
        }
        Ok(done)
    }

    /// The aliases that [`Mirror::registry`] would leave alone. Nothing is changed.
    ///
    /// # Errors
    ///
    /// When either side fails.
    pub fn alias_conflicts(&self, model: &str) -> Result<Vec<AliasConflict>> {
        let mut conflicts = Vec::new();
        let Some(here) = self.model_here(model)? else {
            return Ok(conflicts);
        };
        let sent = self.sent(&here);
        let names = self.names(&here, &sent);
        if names.is_empty() {
            return Ok(conflicts);
        }
        let there = self.aliases_there(model)?;
        for alias in names {
            let step = self.step(&here, &alias, sent.get(&alias).copied(), &there)?;
            if let Some(Step::Conflict(conflict)) = step {
                conflicts.push(conflict);
            }
        }
        Ok(conflicts)
    }

    /// Compares what an alias means here and there with what was last sent.
    fn step(
        &self,
        here: &RegisteredModel,
        alias: &str,
        sent: Option<u32>,
        there: &BTreeMap<String, u32>,
    ) -> Result<Option<Step>> {
        let there = there.get(alias).copied();
        let Some(version) = meaning(here, alias) else {
            return Ok(Some(match sent == there {
                true => Step::Remove,
                false => Step::Forget,
            }));
        };
        // A version that was not sent has no copy to be named.
        let Some(copy) = self.copy_of(&here.name, version)? else {
            return Ok(None);
        };
        Ok(Some(match there {
            _ if there == Some(copy) => Step::Settled(copy),
            _ if there == sent => Step::Move(copy),
            there => Step::Conflict(AliasConflict {
                model: here.name.clone(),
                alias: alias.to_owned(),
                here: version,
                copy,
                there,
            }),
        }))
    }

    /// Lets `previous` mean what is in use there; where nothing is, what it means here.
    fn keep_previous(&self, here: &RegisteredModel, there: &BTreeMap<String, u32>) -> Result<()> {
        let previous = match (there.get(CHAMPION), there.get(PREVIOUS)) {
            (Some(&champion), _) => Some(champion),
            (None, Some(_)) => None,
            (None, None) => match meaning(here, PREVIOUS) {
                Some(version) => self.copy_of(&here.name, version)?,
                None => None,
            },
        };
        match previous {
            Some(version) => {
                let to = &self.to;
                to.set_registered_model_alias(&here.name, PREVIOUS, version)
            }
            None => Ok(()),
        }
    }

    fn model_here(&self, model: &str) -> Result<Option<RegisteredModel>> {
        match self.from.get_registered_model(model) {
            Ok(model) => Ok(Some(model)),
            Err(TrackingError::RegisteredModelNotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn aliases_there(&self, model: &str) -> Result<BTreeMap<String, u32>> {
        match self.to.get_registered_model(model) {
            Ok(model) => {
                let aliases = model.aliases.into_iter();
                Ok(aliases.map(|one| (one.alias, one.version)).collect())
            }
            Err(error) if error.code() == ErrorCode::ResourceDoesNotExist => Ok(BTreeMap::new()),
            Err(error) => Err(error),
        }
    }

    /// The aliases that are or were ours to send.
    fn names(&self, here: &RegisteredModel, sent: &BTreeMap<String, u32>) -> Vec<String> {
        let known = here.aliases.iter().map(|one| one.alias.clone());
        let mut names: Vec<String> = known.chain(sent.keys().cloned()).collect();
        names.retain(|alias| alias != PREVIOUS);
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The number that a version has on the server, if it was sent.
    fn copy_of(&self, model: &str, version: u32) -> Result<Option<u32>> {
        let version = self.from.get_model_version(model, version)?;
        let copy = value_of(&version.tags, self.copied_to());
        Ok(copy.and_then(|text| text.parse().ok()))
    }

    /// What was last sent, by alias.
    fn sent(&self, here: &RegisteredModel) -> BTreeMap<String, u32> {
        let text = value_of(&here.tags, &self.sent_tag()).unwrap_or_default();
        let pairs = text.split(' ').filter_map(|pair| pair.split_once('='));
        pairs
            .filter_map(|(alias, version)| Some((alias.to_owned(), version.parse().ok()?)))
            .collect()
    }

    fn sent_tag(&self) -> String {
        format!("{ALIASES_SENT}{}", self.server())
    }
}

fn meaning(model: &RegisteredModel, alias: &str) -> Option<u32> {
    let found = model.aliases.iter().find(|one| one.alias == alias);
    found.map(|one| one.version)
}

/// `champion=3 field-trial=2`.
fn describe(aliases: &BTreeMap<String, u32>) -> String {
    let pairs: Vec<String> = aliases
        .iter()
        .map(|(alias, version)| format!("{alias}={version}"))
        .collect();
    pairs.join(" ")
}
