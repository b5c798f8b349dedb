//! Where content comes from and where it went.
//!
//! The way leads over executions: from an output to the inputs of the step that
//! made it, and back. A clip of a source folder leads through the folder, and
//! through the items that a step made of single clips.
//!
//! On the way, an input is told from its equals by the name that it was read under:
//! small artifacts (a count, a yes) have equal bytes by chance. And it is told by the
//! run: a recording that was edited may lead to the same split as before, and is no
//! origin of the models that were trained before. What a step read was made by what
//! its own run had for that step, or, once that run has been removed, by the latest
//! execution before.

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

use crate::cache_key::Ingredients;
use crate::error::{PipelineError, Result};
use crate::graph::{Graph, OutputSpec, reference};
use crate::hash::ContentHash;
use crate::run::{InputRecord, OutputRecord};
use crate::store::Store;
use crate::store::cache::{inputs_of, outputs_of, parse_column};

/// Where content comes from, or where it went.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Lineage {
    /// What was asked about.
    pub content: ContentHash,
    /// The steps on the way, the nearest first.
    pub steps: Vec<LineageStep>,
    /// The files from outside at the beginning of the way. Empty when the question
    /// was where content went.
    pub sources: Vec<SourceOrigin>,
}

/// A step that made something of something.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LineageStep {
    /// Name, version, parameters, inputs and program.
    pub ingredients: Ingredients,
    /// The run in which its code ran. It may have been removed since.
    pub run: String,
    /// The commit of the project folder then.
    pub git_commit: Option<String>,
    /// All runs that are kept and have this very result, cached or not.
    pub runs: Vec<String>,
    /// What it read.
    pub inputs: Vec<InputRecord>,
    /// What it made.
    pub outputs: Vec<OutputRecord>,
}

/// A file from outside.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct SourceOrigin {
    /// Where it lay when it was read.
    pub path: PathBuf,
    /// What it held.
    pub content: ContentHash,
}

impl Store {
    /// Where an artifact comes from: the steps that made it and what it was made
    /// from, with settings and code, back to the files from outside. Of several
    /// executions that made the very content asked about the latest is told.
    ///
    /// # Errors
    ///
    /// When the content is not known.
    pub fn upstream(&self, content: ContentHash) -> Result<Lineage> {
        self.require(content)?;
        self.read(|db| {
            let (mut steps, mut sources) = (Vec::new(), BTreeSet::new());
            let mut walk = Walk::from(content);
            while let Some(Place { content, met }) = walk.next() {
                let maker = match &met {
                    Some((reader, name)) => maker_of(db, content, name, *reader)?,
                    None => latest_maker_of(db, content)?,
                };
                if let Some(execution) = maker {
                    if walk.first_visit(execution) {
                        let step = step_of(db, execution)?;
                        for input in &step.inputs {
                            walk.add(input.content, execution, &input.name);
                        }
                        steps.push(step);
                    }
                    continue;
                }
                // A source; or an item of a step, if that was asked about.
                let found = match &met {
                    Some((reader, name)) => {
                        let lay_at = path_of_source(db, *reader, name)?;
                        sources_of(db, content, lay_at.as_deref())?
                    }
                    None => sources_of(db, item_input(db, content)?.unwrap_or(content), None)?,
                };
                sources.extend(found);
            }
            let sources = sources.into_iter().collect();
            Ok(Lineage {
                content,
                steps,
                sources,
            })
        })
    }

    /// Where content went: every step that read it, or a folder that it is in, or
    /// an item made of it, and every step that read what came out.
    ///
    /// # Errors
    ///
    /// When the content is not known.
    pub fn downstream(&self, content: ContentHash) -> Result<Lineage> {
        self.require(content)?;
        self.read(|db| {
            let mut steps = Vec::new();
            let mut walk = Walk::from(content);
            while let Some(Place { content, met }) = walk.next() {
                let readers = match &met {
                    Some((maker, name)) => readers_of_made(db, content, name, *maker)?,
                    None => readers_of(db, content)?,
                };
                for execution in readers {
                    if walk.first_visit(execution) {
                        let step = step_of(db, execution)?;
                        for output in &step.outputs {
                            let name = reference(&step.ingredients.step, &output.name);
                            walk.add(output.content, execution, &name);
                        }
                        steps.push(step);
                    }
                }
            }
            let sources = Vec::new();
            Ok(Lineage {
                content,
                steps,
                sources,
            })
        })
    }

    /// The one content that is known and begins with these hexadecimal digits.
    ///
    /// # Errors
    ///
    /// When there is none, or more than one.
    pub fn find_content(&self, digits: &str) -> Result<ContentHash> {
        let missing = || PipelineError::ContentNotFound {
            content: digits.to_owned(),
        };
        if digits.len() < 4 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(missing());
        }
        let found: Vec<ContentHash> = self.read(|db| {
            let begins = "hex(content) LIKE ?1 || '%'";
            db.prepare(&format!(
                "SELECT content FROM outputs WHERE {begins} UNION
                 SELECT content FROM inputs WHERE {begins} UNION
                 SELECT content FROM members WHERE {begins} UNION
                 SELECT output AS content FROM items WHERE hex(output) LIKE ?1 || '%' LIMIT 2"
            ))?
            .query_map([digits], |row| row.get(0))?
            .collect()
        })?;
        match found[..] {
            [content] => Ok(content),
            _ => Err(missing()),
        }
    }

    /// What a file holds now, to ask about its lineage.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn content_of(&self, path: &Path) -> Result<ContentHash> {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        Ok(self.fingerprints(&[path])?[0].content)
    }

    /// What a file held when a run last read it; `None` if none did.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    pub fn last_content_of(&self, path: &Path) -> Result<Option<ContentHash>> {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        self.read(|db| {
            db.prepare_cached(
                "WITH held (source, content) AS (
                     SELECT source_paths.content, members.content FROM source_paths
                     JOIN members ON members.folder = source_paths.content
                     WHERE source_paths.path || '/' || members.path = ?1
                     UNION SELECT content, content FROM source_paths WHERE path = ?1)
                 SELECT content FROM held ORDER BY
                     (SELECT max(execution) FROM inputs WHERE inputs.content = source) DESC
                 LIMIT 1",
            )?
            .query_row([path.to_string_lossy()], |row| row.get(0))
            .optional()
        })
    }

    /// Whether any run knows of this content.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    pub fn knows(&self, content: ContentHash) -> Result<bool> {
        match self.require(content) {
            Ok(()) => Ok(true),
            Err(PipelineError::ContentNotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn require(&self, content: ContentHash) -> Result<()> {
        let known = self.read(|db| {
            db.prepare_cached(
                "SELECT 1 FROM outputs WHERE content = ?1 UNION
                 SELECT 1 FROM inputs WHERE content = ?1 UNION
                 SELECT 1 FROM members WHERE content = ?1 UNION
                 SELECT 1 FROM items WHERE input = ?1 OR output = ?1",
            )?
            .exists([content])
        })?;
        if known {
            return Ok(());
        }
        let content = content.to_string();
        Err(PipelineError::ContentNotFound { content })
    }
}

/// Content on the way.
struct Place {
    content: ContentHash,
    /// The execution that led here, and the name of the content there: as an input on
    /// the way up, as an output on the way down. What was asked about has neither.
    met: Option<(i64, String)>,
}

/// Content still to look at, and what was seen already.
struct Walk {
    waiting: VecDeque<Place>,
    executions: BTreeSet<i64>,
}

impl Walk {
    fn from(content: ContentHash) -> Self {
        let start = Place { content, met: None };
        Self {
            waiting: [start].into(),
            executions: BTreeSet::new(),
        }
    }

    fn next(&mut self) -> Option<Place> {
        self.waiting.pop_front()
    }

    fn add(&mut self, content: ContentHash, execution: i64, name: &str) {
        let met = Some((execution, name.to_owned()));
        self.waiting.push_back(Place { content, met });
    }

    fn first_visit(&mut self, execution: i64) -> bool {
        self.executions.insert(execution)
    }
}

/// The latest execution that made the content.
fn latest_maker_of(db: &Connection, content: ContentHash) -> rusqlite::Result<Option<i64>> {
    db.prepare_cached("SELECT max(execution) FROM outputs WHERE content = ?1")?
        .query_row([content], |row| row.get(0))
}

/// The execution that made what another has read under this name; `None` for files
/// from outside.
fn maker_of(
    db: &Connection,
    content: ContentHash,
    name: &str,
    reader: i64,
) -> rusqlite::Result<Option<i64>> {
    let (step, output) = name.split_once('.').unwrap_or((name, OutputSpec::ONLY));
    // What the reader's own run had comes first.
    db.prepare_cached(
        "SELECT execution FROM outputs JOIN executions ON id = execution
         WHERE content = ?1 AND step = ?2 AND name = ?3 AND id < ?4
         ORDER BY EXISTS (SELECT 1 FROM step_runs
                          WHERE step_runs.execution = id AND step_runs.run =
                              (SELECT run FROM executions WHERE id = ?4)) DESC, id DESC
         LIMIT 1",
    )?
    .query_row(params![content, step, output, reader], |row| row.get(0))
    .optional()
}

fn item_input(db: &Connection, content: ContentHash) -> rusqlite::Result<Option<ContentHash>> {
    db.prepare_cached("SELECT input FROM items WHERE output = ?1 LIMIT 1")?
        .query_row([content], |row| row.get(0))
        .optional()
}

/// Where the run of an execution had its source of this name, while it is kept.
fn path_of_source(db: &Connection, reader: i64, name: &str) -> rusqlite::Result<Option<PathBuf>> {
    let graph: Option<Graph> = db
        .prepare_cached(
            "SELECT graph FROM runs WHERE id = (SELECT run FROM executions WHERE id = ?1)",
        )?
        .query_row([reader], |row| parse_column(row, 0))
        .optional()?;
    let source = graph.and_then(|graph| graph.sources.into_iter().find(|one| one.name == name));
    Ok(source.map(|source| source.path.into()))
}

/// The files that a source consists of, or the paths of a single one. Of equal sources
/// those at `lay_at`, if any lay there.
fn sources_of(
    db: &Connection,
    content: ContentHash,
    lay_at: Option<&Path>,
) -> rusqlite::Result<Vec<SourceOrigin>> {
    let origin = |row: &rusqlite::Row<'_>| {
        let (folder, below): (String, Option<String>) = (row.get(0)?, row.get(1)?);
        let folder = PathBuf::from(folder);
        // A path may have been given from the folder that the program was called in.
        let is_there = lay_at.is_some_and(|path| folder.ends_with(path));
        let origin = SourceOrigin {
            path: below.map_or(folder.clone(), |below| folder.join(below)),
            content: row.get(2)?,
        };
        Ok((is_there, origin))
    };
    db.prepare_cached(
        "SELECT source_paths.path, members.path, coalesce(members.content, source_paths.content)
         FROM source_paths LEFT JOIN members ON members.folder = source_paths.content
         WHERE source_paths.content = ?1
         UNION SELECT source_paths.path, members.path, members.content
         FROM members JOIN source_paths ON source_paths.content = members.folder
         WHERE members.content = ?1",
    )?
    .query_map([content], origin)?
    .collect::<rusqlite::Result<Vec<_>>>()
    .map(|mut found| {
        if found.iter().any(|(is_there, _)| *is_there) {
            found.retain(|(is_there, _)| *is_there);
        }
        found.into_iter().map(|(_, origin)| origin).collect()
    })
}

/// Executions that read the content in any way: as it is, in a folder, or as an item.
fn readers_of(db: &Connection, content: ContentHash) -> rusqlite::Result<Vec<i64>> {
    db.prepare_cached(
        "SELECT execution FROM inputs WHERE content = ?1
         UNION SELECT execution FROM inputs
             WHERE content IN (SELECT folder FROM members WHERE members.content = ?1)
         UNION SELECT execution FROM item_uses
             WHERE item IN (SELECT id FROM items WHERE input = ?1 OR output = ?1)
         ORDER BY 1",
    )?
    .query_map([content], |row| row.get(0))?
    .collect()
}

/// Executions that read what another has made, in their own run or in one that took
/// them from the cache.
fn readers_of_made(
    db: &Connection,
    content: ContentHash,
    name: &str,
    maker: i64,
) -> rusqlite::Result<Vec<i64>> {
    // An artifact may also have been given to another pipeline as a source file.
    let candidates: Vec<(i64, bool)> = db
        .prepare_cached(
            "SELECT execution,
                 name <> ?2 OR EXISTS (
                     SELECT 1 FROM step_runs AS made JOIN step_runs AS read USING (run)
                     WHERE made.execution = ?3 AND read.execution = inputs.execution)
             FROM inputs WHERE content = ?1
             AND (name = ?2 OR content IN (SELECT content FROM source_paths)) ORDER BY 1",
        )?
        .query_map(params![content, name, maker], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut readers = Vec::new();
    for (reader, is_known) in candidates {
        if is_known || maker_of(db, content, name, reader)? == Some(maker) {
            readers.push(reader);
        }
    }
    Ok(readers)
}

fn step_of(db: &Connection, execution: i64) -> rusqlite::Result<LineageStep> {
    let runs = db
        .prepare_cached(
            "SELECT run FROM step_runs JOIN runs ON runs.id = run
             WHERE execution = ?1 ORDER BY runs.rowid",
        )?
        .query_map([execution], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    db.prepare_cached("SELECT ingredients, run, git_commit FROM executions WHERE id = ?1")?
        .query_row([execution], |row| {
            Ok(LineageStep {
                ingredients: parse_column(row, 0)?,
                run: row.get(1)?,
                git_commit: row.get(2)?,
                runs,
                inputs: inputs_of(db, execution)?,
                outputs: outputs_of(db, execution)?,
            })
        })
}
