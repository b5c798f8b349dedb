//! The command line: what each command takes, in the words of `--help`.
//!
//! What the commands do lives in [`crate::commands`]; what can be set besides
//! lives in [`crate::settings`].

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::home::DEFAULT_HOME;
use crate::settings::LARGEST;

/// Turns a folder of labelled animal recordings into a model that classifies new ones.
#[derive(Debug, Parser)]
#[command(
    name = "biophony",
    version,
    propagate_version = true,
    max_term_width = 100
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Where runs and models are kept
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "BIOPHONY_HOME",
        default_value = DEFAULT_HOME
    )]
    pub(crate) home: PathBuf,
    /// Settings file [default: biophony.toml, if there is one]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Override one setting, such as train.epochs=30 (`biophony config` lists them)
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Threads to compute with [default: one per core]; results do not depend on it
    #[arg(long, global = true, value_name = "N", value_parser = threads())]
    pub(crate) threads: Option<usize>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Train a model on labelled recordings, and report how far it can be trusted
    Train(TrainArguments),
    /// Carry out the pipeline that biophony.toml describes: ingest, split, train, evaluate, deploy
    Run(RunArguments),
    /// Say what ran, why, and what came of it
    Runs(RunsArguments),
    /// List the versions of the model, say which is in use, and change that
    Models(ModelsArguments),
    /// Say how an MLflow server elsewhere stands, and send it what it was not told yet
    Tracking(TrackingArguments),
    /// Say what a model was made from, or where a recording went
    Lineage(LineageArguments),
    /// Tell other systems what was done here
    Export(ExportArguments),
    /// Take in what other programs tracked
    Import(ImportArguments),
    /// Write a biophony.toml with every setting and its meaning
    Init(InitArguments),
    /// Say which animal is heard in sound files
    Classify(ClassifyArguments),
    /// Judge a trained model on labelled recordings
    Evaluate(EvaluateArguments),
    /// Look for what is wrong with a collection: copies, silence, clipping, imbalance, …
    Audit(AuditArguments),
    /// Write a file's mel spectrogram as numbers (.npy) or as a picture (.png)
    Features(FeaturesArguments),
    /// Serve the web application, its API and MLflow's
    Serve(ServeArguments),
    /// Synthesize a small collection, train on it and classify a fresh clip
    Demo(DemoArguments),
    /// Measure how fast this machine is at features, training and classifying
    Bench(BenchArguments),
    /// Print every setting with its value and meaning, as a settings file
    Config(ConfigArguments),
    /// Print a completion script for a shell
    Completions {
        /// The shell to complete for
        shell: clap_complete::Shell,
    },
}

/// Where labelled recordings are.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct CollectionArguments {
    /// A folder with one subfolder per class
    #[arg(value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
    /// A table of recordings with the columns path,label and, if wanted, group,fold,split
    #[arg(long, value_name = "FILE")]
    pub(crate) manifest: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct TrainArguments {
    #[command(flatten)]
    pub(crate) collection: CollectionArguments,
    /// Cross-validate: a number of folds, or `manifest` for the manifest's own
    #[arg(long, value_name = "N|manifest")]
    pub(crate) folds: Option<FoldsArgument>,
    /// Also train on a random split, to show what leakage would have made of the figures
    #[arg(long)]
    pub(crate) compare_naive: bool,
    /// Passes over the training part (train.epochs)
    #[arg(long, value_name = "N")]
    pub(crate) epochs: Option<usize>,
    /// The network (train.architecture): cnn, cnn-bn, mobile or resnet
    #[arg(long, value_name = "NAME")]
    pub(crate) architecture: Option<String>,
    /// The number that every random choice follows from (train.seed and split.seed)
    #[arg(long, value_name = "N", value_parser = seed())]
    pub(crate) seed: Option<u64>,
    /// Go on with the newest run that was interrupted, or with the one named
    #[arg(long, value_name = "RUN", num_args = 0..=1, default_missing_value = "newest")]
    pub(crate) resume: Option<String>,
    /// Print the figures as JSON to standard output
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// A folder with one subfolder per class (data.folder)
    #[arg(long, value_name = "DIR", conflicts_with = "manifest")]
    pub(crate) data: Option<PathBuf>,
    /// A table of recordings with the columns path,label and, if wanted, group,fold,split (data.manifest)
    #[arg(long, value_name = "FILE")]
    pub(crate) manifest: Option<PathBuf>,
    /// Cross-validate: a number of folds, or `manifest` for the manifest's own
    #[arg(long, value_name = "N|manifest")]
    pub(crate) folds: Option<FoldsArgument>,
    /// Also train on a random split, to show what leakage would have made of the figures
    #[arg(long)]
    pub(crate) compare_naive: bool,
    /// Run every step, whatever the cache holds
    #[arg(long)]
    pub(crate) fresh: bool,
    /// Go on with the newest run that did not come to its end, or with the one named, under its own
    /// settings; only those of the section `run` may be changed
    #[arg(long, value_name = "RUN", num_args = 0..=1, default_missing_value = "newest",
          conflicts_with_all = ["data", "manifest", "folds", "compare_naive", "fresh"])]
    pub(crate) resume: Option<String>,
    /// Print the figures as JSON to standard output
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RunsArguments {
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: RunsCommand,
}

/// What to do with runs. A run is named by its ID, or `newest`.
#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
    /// List all runs
    List,
    /// Show a run: its steps, what they made, and its graph
    Show {
        /// The run
        #[arg(value_name = "RUN")]
        run: String,
        /// Also draw the graph into this file
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
    },
    /// Print what the steps of a run wrote into its log
    Logs {
        /// The run
        #[arg(value_name = "RUN")]
        run: String,
        /// Only this step
        #[arg(value_name = "STEP")]
        step: Option<String>,
    },
    /// Say why a step ran or did not
    Explain {
        /// The run
        #[arg(value_name = "RUN")]
        run: String,
        /// The step
        #[arg(value_name = "STEP")]
        step: String,
    },
    /// Say what differs between two runs
    Compare {
        /// A run
        #[arg(value_name = "RUN")]
        left: String,
        /// Another run
        #[arg(value_name = "OTHER")]
        right: String,
    },
    /// Remove runs and what no other run refers to; registered models stay
    Remove {
        /// The runs
        #[arg(value_name = "RUN", required = true)]
        runs: Vec<String>,
    },
    /// Remove artifacts that no run and no registered model refers to
    Clean,
}

#[derive(Debug, Args)]
pub(crate) struct ModelsArguments {
    /// The registered model [default: the setting tracking.model]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: ModelsCommand,
}

/// What to do with models. A version is named by its number (`3`) or by an alias
/// (`champion`, `previous`, or one of your own).
#[derive(Debug, Subcommand)]
pub(crate) enum ModelsCommand {
    /// List all versions
    List,
    /// Show a version: its figures, where it comes from, and why it was accepted
    Show {
        /// The version
        #[arg(value_name = "VERSION", default_value = "champion")]
        which: String,
    },
    /// Put a version into use; the one in use stays as `previous`
    Promote {
        /// The version
        #[arg(value_name = "VERSION")]
        which: String,
    },
    /// Put the previous version into use again; once more undoes it
    Rollback,
    /// Let a name of your own mean a version
    Alias {
        /// The name
        #[arg(value_name = "NAME")]
        alias: String,
        /// The version
        #[arg(value_name = "VERSION", required_unless_present = "remove")]
        which: Option<String>,
        /// Take the name away
        #[arg(long, conflicts_with = "which")]
        remove: bool,
    },
    /// Copy a version's bundle into a new folder
    Export {
        /// The version
        #[arg(value_name = "VERSION")]
        which: String,
        /// The folder
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Say what differs between two versions: figures, recordings, settings
    Compare {
        /// A version
        #[arg(value_name = "VERSION")]
        left: String,
        /// Another version
        #[arg(value_name = "OTHER")]
        right: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct TrackingArguments {
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: TrackingCommand,
}

/// The server is the setting tracking.uri, or MLFLOW_TRACKING_URI.
#[derive(Debug, Subcommand)]
pub(crate) enum TrackingCommand {
    /// Say how many runs are here, whether the server answers, and what it was not told
    Status,
    /// Send what the server was not told: runs, files, models, versions, aliases; each once
    Sync {
        /// Also runs that were recorded when no server was set, or for another one
        #[arg(long)]
        all: bool,
        /// Also set aliases that somebody else has moved or removed there; what was in use there
        /// stays as `previous`
        #[arg(long)]
        overwrite_aliases: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct LineageArguments {
    /// A recording, a model (a folder, a run, a version or an alias such as `champion`), or the
    /// beginning of an artifact's hash
    #[arg(value_name = "WHAT")]
    pub(crate) what: String,
    /// List every file that it comes from
    #[arg(long)]
    pub(crate) files: bool,
    /// Show the settings of every step
    #[arg(long)]
    pub(crate) settings: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    #[command(subcommand)]
    pub(crate) command: ExportCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ExportCommand {
    /// Register a run with a ZenML server: pipeline, steps, artifacts, metadata; no files are sent
    Zenml(ExportZenmlArguments),
    /// Write runs, metrics and registered models into a new database that `mlflow server` opens
    MlflowSqlite {
        /// The file; there must be none yet
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    #[command(subcommand)]
    pub(crate) command: ImportCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ImportCommand {
    /// Add what is in an MLflow server's SQLite database; importing again adds only what is new
    MlflowSqlite {
        /// The database, such as mlflow.db
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The server's folder of artifacts, whose files are copied as well
        #[arg(long, value_name = "DIR")]
        artifacts: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ExportZenmlArguments {
    /// The server, such as http://127.0.0.1:8237
    #[arg(long, value_name = "URL")]
    pub(crate) url: String,
    /// The run: its ID, or `newest`
    #[arg(long, value_name = "RUN")]
    pub(crate) run: String,
    /// An API key of a ZenML service account, if the server asks who you are
    #[arg(
        long,
        value_name = "TOKEN",
        env = "ZENML_STORE_API_KEY",
        hide_env_values = true
    )]
    pub(crate) token: Option<String>,
    /// Try servers of other versions than 0.98 too
    #[arg(long)]
    pub(crate) any_version: bool,
}

#[derive(Debug, Args)]
pub(crate) struct InitArguments {
    /// The folder of recordings to write into the file
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

/// How a collection is divided for cross-validation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FoldsArgument {
    /// Into this many folds of our own.
    Count(usize),
    /// As the manifest says.
    Manifest,
}

impl std::str::FromStr for FoldsArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            _ if text == "manifest" => Ok(Self::Manifest),
            Ok(count) if count >= 2 => Ok(Self::Count(count)),
            _ => Err("expected a number of at least 2, or `manifest`".to_owned()),
        }
    }
}

impl std::fmt::Display for FoldsArgument {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Count(count) => count.fmt(f),
            Self::Manifest => f.write_str("manifest"),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ClassifyArguments {
    /// Sound files
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// A model folder, a run that gave a model, a version (`3`, `latest`, `models:/NAME/3`) or an
    /// alias [default: champion]
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// Accept an answer only from this probability on [default: what the model was given]; one
    /// about silence, or about less than 0.15 s, is never accepted
    #[arg(long, value_name = "PROBABILITY", value_parser = probability, allow_negative_numbers = true)]
    pub(crate) threshold: Option<f32>,
    /// How many classes to show for each file
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) top: usize,
    #[command(flatten)]
    pub(crate) format: TableFormat,
}

/// How a table is printed.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct TableFormat {
    /// Print JSON; a file that could not be read is there with its `error`
    #[arg(long)]
    pub(crate) json: bool,
    /// Print CSV: path,label,probability,accepted, one column per class, and warnings; a file that
    /// could not be read has no row
    #[arg(long)]
    pub(crate) csv: bool,
}

#[derive(Debug, Args)]
pub(crate) struct EvaluateArguments {
    #[command(flatten)]
    pub(crate) collection: CollectionArguments,
    /// A model folder, a run that gave a model, a version (`3`, `latest`, `models:/NAME/3`) or an
    /// alias [default: champion]
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// Write report.html, metrics.json and tables here
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Print the figures as JSON to standard output
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AuditArguments {
    #[command(flatten)]
    pub(crate) collection: CollectionArguments,
    /// Write the audit as a page
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct FeaturesArguments {
    /// A sound file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Where to write: X.npy for an array [n_mels, frames], X.png for a picture
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Resample to this rate first, in hertz
    #[arg(long, value_name = "HZ")]
    pub(crate) sample_rate: Option<u32>,
    /// Length of the Fourier transform, in samples; windows are as long, or features.win_length
    #[arg(long, value_name = "N")]
    pub(crate) n_fft: Option<usize>,
    /// Samples from one frame to the next
    #[arg(long, value_name = "N")]
    pub(crate) hop_length: Option<usize>,
    /// Number of mel bands
    #[arg(long, value_name = "N")]
    pub(crate) n_mels: Option<usize>,
    /// Lower edge of the lowest band, in hertz
    #[arg(long, value_name = "HZ", allow_negative_numbers = true)]
    pub(crate) fmin: Option<f32>,
    /// Upper edge of the highest band, in hertz [default: the setting, at most half the rate]
    #[arg(long, value_name = "HZ", allow_negative_numbers = true)]
    pub(crate) fmax: Option<f32>,
    /// Linear power, or decibels against 1.0 [default: the setting, but always against 1.0]
    #[arg(long, value_enum)]
    pub(crate) scale: Option<ScaleArgument>,
    /// Decibels kept below the loudest value, or `none` for all (librosa's None)
    #[arg(long, value_name = "DB|none", allow_negative_numbers = true)]
    pub(crate) top_db: Option<TopDbArgument>,
}

/// How far below the loudest value decibels reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum TopDbArgument {
    /// As far as they do.
    Unlimited,
    /// So many decibels.
    Db(f32),
}

impl std::str::FromStr for TopDbArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            _ if text == "none" => Ok(Self::Unlimited),
            Ok(decibel) => Ok(Self::Db(decibel)),
            Err(_) => Err("expected a number of decibels, or `none`".to_owned()),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScaleArgument {
    /// Linear power
    Power,
    /// Decibels against 1.0
    Db,
}

/// An address with its port, whose host may be a name of this machine, such as
/// `localhost:8080`.
fn address(text: &str) -> Result<SocketAddr, String> {
    let found: Vec<SocketAddr> = text
        .to_socket_addrs()
        .map_err(|error| format!("{error}; write it as `127.0.0.1:8080`"))?
        .collect();
    let plain = found.iter().find(|address| address.is_ipv4());
    let first = plain.or(found.first()).copied();
    first.ok_or_else(|| "the name has no address".to_owned())
}

#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// Where to listen; port 0 for any free one, 0.0.0.0 for the whole network
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080", value_parser = address)]
    pub(crate) addr: SocketAddr,
    /// A model folder, a run that gave a model, a version (`3`, `latest`, `models:/NAME/3`), or an
    /// alias, which is followed
    #[arg(long, value_name = "MODEL", default_value = "champion")]
    pub(crate) model: String,
    /// Encrypt: `self-signed`, or the files of a certificate and its key; phones need it to record
    #[arg(long, value_name = "self-signed|CERT,KEY")]
    pub(crate) tls: Option<String>,
    /// Let only bearers of tokens in: a file with `viewer TOKEN` or `editor TOKEN` on each line
    #[arg(long, value_name = "FILE")]
    pub(crate) auth_token_file: Option<PathBuf>,
    /// Answer to this host name, too, beside localhost and IP addresses; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) allow_host: Vec<String>,
    /// Take changes from pages of this origin, too, such as `https://lab.example`; may be repeated
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) allow_origin: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// Keep the synthetic recordings here
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// The number that the synthetic sounds and the training follow from
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = seed())]
    pub(crate) seed: u64,
}

#[derive(Debug, Args)]
pub(crate) struct BenchArguments {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigArguments {
    /// Print keys, values, choices and meanings as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Reads what the settings take for a seed.
fn seed() -> RangedU64ValueParser {
    RangedU64ValueParser::new().range(..=LARGEST)
}

/// Reads how many threads there are to be.
fn threads() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=1024)
}

/// Reads a number from 0 to 1.
fn probability(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err("a probability is a number from 0 to 1".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn folds_are_a_number_or_the_manifests_own() {
        assert_eq!("5".parse(), Ok(FoldsArgument::Count(5)));
        assert_eq!("manifest".parse(), Ok(FoldsArgument::Manifest));
        assert!("1".parse::<FoldsArgument>().is_err());
    }

    #[test]
    fn decibels_are_kept_to_a_number_or_not_at_all() {
        assert_eq!("80".parse(), Ok(TopDbArgument::Db(80.0)));
        assert_eq!("none".parse(), Ok(TopDbArgument::Unlimited));
        assert!("all".parse::<TopDbArgument>().is_err());
    }
}
