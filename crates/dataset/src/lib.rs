//! Labelled recordings: which there are, what is wrong with them, which of them
//! are the same sound, and how to split them without fooling oneself.
//!
//! The way through the crate:
//!
//! 1. [`scan`] reads a folder of class folders, [`read_manifest`] a CSV file;
//!    both give a [`Dataset`].
//! 2. [`audit`] decodes every recording and gives an [`Audit`]: measurements,
//!    copies and near copies, and [`Finding`]s with advice. It is shown by
//!    [`Audit::table`] and [`audit_page`].
//!    [`examine`] and [`relate`] are its two halves, for who keeps the first.
//! 3. [`Audit::usable`] leaves the unreadable out and puts the rest into groups
//!    that belong together; [`Usable::split`] and [`Usable::folds`] keep every
//!    group on one side.
//!
//! Decoding and resampling live in `biophony-audio`; what is computed from the
//! recordings afterwards lives in `biophony-model`.

mod audit;
mod audit_page;
mod audit_table;
mod bandwidth;
mod copies;
mod doubts;
mod error;
mod finding;
mod fingerprint;
mod gather;
mod groups;
mod manifest;
mod measure;
mod recording;
mod scan;
mod split;
mod usable;
mod verify;

pub use audit::{
    Audit, AuditConfig, ClassSummary, ClipReport, Examination, audit, examine, relate,
};
pub use audit_page::audit_page;
pub use copies::{NearCopy, Relation};
pub use doubts::doubts;
pub use error::DatasetError;
pub use finding::{Finding, Severity};
pub use manifest::read_manifest;
pub use measure::Measurements;
pub use recording::{Dataset, Part, Recording, Skipped};
pub use scan::scan;
pub use split::{SplitConfig, folds, split};
pub use usable::{ManifestFolds, ManifestSplit, ScarceClass, Straddle, Usable};
