//! What an audit finds, each with a message and advice in plain words.
//!
//! How findings come about is in [`crate::audit()`]; how they are shown, in
//! [`crate::Audit::table`] and [`crate::audit_page`].

use serde::{Deserialize, Serialize};

/// Something about the data set that its owner should know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Finding {
    /// A file that cannot be decoded.
    Unreadable {
        /// The recording.
        path: String,
        /// Why.
        reason: String,
    },
    /// One sound under two labels.
    ConflictingLabels {
        /// The recordings, each with its label.
        recordings: Vec<(String, String)>,
        /// Whether they are the very same samples, rather than near copies.
        exact: bool,
    },
    /// A file that was read in spite of damage.
    Damaged {
        /// The recording.
        path: String,
        /// What the decoder noticed.
        warnings: Vec<String>,
    },
    /// Nothing to be heard.
    Silent {
        /// The recording.
        path: String,
        /// The level of its loudest 50 ms, in dB of full scale; `None` when it
        /// is the same value throughout.
        level_dbfs: Option<f64>,
    },
    /// Samples cut off at full scale.
    Clipped {
        /// The recording.
        path: String,
        /// The fraction of its samples that are cut off.
        fraction: f64,
    },
    /// A waveform that is not centered on zero.
    DcOffset {
        /// The recording.
        path: String,
        /// The mean of its samples; 1 is full scale.
        offset: f64,
    },
    /// A recording too short to hold a call.
    TooShort {
        /// The recording.
        path: String,
        /// How long it lasts.
        seconds: f64,
    },
    /// A sound that was recorded, or once stored, at a lower rate than the file's.
    NarrowBand {
        /// The recording.
        path: String,
        /// Where its content ends.
        bandwidth_hz: f64,
        /// Where it could end at its sample rate.
        nyquist_hz: f64,
    },
    /// Files with the same samples.
    Copies {
        /// The recordings.
        paths: Vec<String>,
        /// Whether the files are the same byte for byte; otherwise the same
        /// samples are stored in different ways.
        same_bytes: bool,
    },
    /// The same sound, re-encoded, resampled, louder or softer, or cut.
    NearCopies {
        /// The recordings.
        paths: Vec<String>,
    },
    /// Several sample rates.
    MixedRates {
        /// Each rate in hertz and how many recordings have it, commonest first.
        rates: Vec<(u32, usize)>,
    },
    /// One class has many times as many recordings as another.
    Imbalance {
        /// The class with most recordings.
        largest: String,
        /// Their number.
        n_largest: usize,
        /// The class with fewest.
        smallest: String,
        /// Their number.
        n_smallest: usize,
    },
    /// A class with hardly any recordings that are independent of each other.
    FewRecordings {
        /// The class.
        label: String,
        /// Its recordings, copies counted once.
        n_independent: usize,
    },
    /// A class folder without a recording.
    EmptyClass {
        /// The folder.
        label: String,
    },
    /// Recordings beside the class folders.
    Unlabelled {
        /// The recordings.
        paths: Vec<String>,
    },
    /// Folders that could not be listed, or that lead back to themselves.
    NotListed {
        /// The folders.
        paths: Vec<String>,
    },
    /// A column of the manifest that was ignored and may be misspelled.
    AlmostColumn {
        /// The column.
        column: String,
        /// The one with a meaning that it is spelled almost like.
        meant: String,
    },
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Wrong, and to be put right: a recording is lost or taught wrongly.
    Problem,
    /// Likely to harm a model or its figures.
    Warning,
    /// Good to know.
    Note,
}

impl Severity {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Problem => "problem",
            Severity::Warning => "warning",
            Severity::Note => "note",
        }
    }
}

impl Finding {
    /// How much it matters.
    pub fn severity(&self) -> Severity {
        match self {
            Finding::Unreadable { .. }
            | Finding::ConflictingLabels { .. }
            | Finding::EmptyClass { .. }
            | Finding::NotListed { .. } => Severity::Problem,
            Finding::Damaged { .. }
            | Finding::Silent { .. }
            | Finding::TooShort { .. }
            | Finding::Imbalance { .. }
            | Finding::FewRecordings { .. }
            | Finding::Unlabelled { .. }
            | Finding::AlmostColumn { .. }
            | Finding::Copies { .. }
            | Finding::NearCopies { .. } => Severity::Warning,
            Finding::Clipped { .. }
            | Finding::DcOffset { .. }
            | Finding::NarrowBand { .. }
            | Finding::MixedRates { .. } => Severity::Note,
        }
    }

    /// The heading under which findings of its kind are gathered.
    pub fn title(&self) -> &'static str {
        match self {
            Finding::Unreadable { .. } => "Unreadable recordings",
            Finding::ConflictingLabels { .. } => "The same sound under two labels",
            Finding::Damaged { .. } => "Damaged files",
            Finding::Silent { .. } => "Silent recordings",
            Finding::Clipped { .. } => "Clipped recordings",
            Finding::DcOffset { .. } => "DC offset",
            Finding::TooShort { .. } => "Very short recordings",
            Finding::NarrowBand { .. } => "Less bandwidth than the sample rate promises",
            Finding::Copies { .. } => "Exact copies",
            Finding::NearCopies { .. } => "Near copies",
            Finding::MixedRates { .. } => "Several sample rates",
            Finding::Imbalance { .. } => "Imbalance",
            Finding::FewRecordings { .. } => "Classes with few independent recordings",
            Finding::EmptyClass { .. } => "Empty class folders",
            Finding::Unlabelled { .. } => "Recordings without a class",
            Finding::NotListed { .. } => "Files and folders left out",
            Finding::AlmostColumn { .. } => "Columns of the manifest that may be misspelled",
        }
    }

    /// What was found, in a sentence.
    pub fn message(&self) -> String {
        match self {
            Finding::Unreadable { path, reason } => format!("{path}: {reason}"),
            Finding::ConflictingLabels { recordings, exact } => {
                let named = |(path, label): &(String, String)| format!("{path} ({label})");
                let list: Vec<_> = recordings.iter().map(named).collect();
                let how = if *exact {
                    "same samples"
                } else {
                    "near copies"
                };
                format!("{how}: {}", list.join(", "))
            }
            Finding::Damaged { path, warnings } => format!("{path}: {}", warnings.join("; ")),
            Finding::Silent { path, level_dbfs } => match level_dbfs {
                Some(level) => format!("{path}: never above {level:.0} dB of full scale"),
                None => format!("{path}: the same value throughout"),
            },
            Finding::Clipped { path, fraction } => {
                format!(
                    "{path}: {:.1} % of the samples are cut off",
                    100.0 * fraction
                )
            }
            Finding::DcOffset { path, offset } => {
                format!("{path}: centered on {:+.1} % of full scale", 100.0 * offset)
            }
            Finding::TooShort { path, seconds } => format!("{path}: {seconds:.3} s"),
            Finding::NarrowBand {
                path,
                bandwidth_hz,
                nyquist_hz,
            } => format!(
                "{path}: nothing above {:.1} kHz of {:.1} kHz",
                bandwidth_hz / 1e3,
                nyquist_hz / 1e3
            ),
            Finding::Copies { paths, same_bytes } => {
                let how = if *same_bytes {
                    ""
                } else {
                    "same samples, stored differently: "
                };
                format!("{how}{}", paths.join(", "))
            }
            Finding::NearCopies { paths } => paths.join(", "),
            Finding::MixedRates { rates } => {
                let list: Vec<_> = rates
                    .iter()
                    .map(|(rate, count)| format!("{rate} Hz: {count}"))
                    .collect();
                list.join(", ")
            }
            Finding::Imbalance {
                largest,
                n_largest,
                smallest,
                n_smallest,
            } => format!("{n_largest} of {largest}, {n_smallest} of {smallest}"),
            Finding::FewRecordings {
                label,
                n_independent,
            } => format!("{label}: {n_independent}, copies counted once"),
            Finding::EmptyClass { label } => format!("{label}: no recording in it"),
            Finding::Unlabelled { paths } | Finding::NotListed { paths } => paths.join(", "),
            Finding::AlmostColumn { column, meant } => {
                format!("column `{column}` is ignored; `{meant}` would not be")
            }
        }
    }

    /// What to do about it.
    pub fn advice(&self) -> &'static str {
        match self {
            Finding::Unreadable { .. } => {
                "They are left out. Fetch them again or convert them, for example to FLAC."
            }
            Finding::ConflictingLabels { .. } => {
                "Listen and keep the right label: a model cannot learn both."
            }
            Finding::Damaged { .. } => {
                "What could be read is used. Fetch the file again if there is a better one."
            }
            Finding::Silent { .. } => {
                "Remove them: they teach the class that silence belongs to it."
            }
            Finding::Clipped { .. } => {
                "Usable, but distortion adds overtones; record with less gain next time."
            }
            Finding::DcOffset { .. } => {
                "Harmless for mel features that begin above 0 Hz; a sign of a faulty recorder."
            }
            Finding::TooShort { .. } => "Check whether a call is in them; training pads them.",
            Finding::NarrowBand { .. } => {
                "If it concerns some classes more than others, a model may learn the recorder \
                 instead of the animal: limit `fmax` to what all recordings have."
            }
            Finding::Copies { .. } | Finding::NearCopies { .. } => {
                "Splits keep them on one side. Keep one of each if their weight in training \
                 should be that of one recording."
            }
            Finding::MixedRates { .. } => {
                "All are resampled to the model's rate; content above half the lowest rate \
                 exists in some recordings only."
            }
            Finding::Imbalance { .. } => {
                "Accuracy favors the large class: read macro-F1, and train with class weights \
                 or balanced sampling."
            }
            Finding::FewRecordings { .. } => {
                "Figures for this class are uncertain, whatever they are: collect more."
            }
            Finding::EmptyClass { .. } => "Add recordings to the folder, or remove it.",
            Finding::Unlabelled { .. } => {
                "They are left out: move each into the folder of its class."
            }
            Finding::NotListed { .. } => {
                "Check their permissions and links, and give them names in Unicode (UTF-8)."
            }
            Finding::AlmostColumn { .. } => {
                "Nothing, if the column is one of your own; otherwise correct its name."
            }
        }
    }
}
