//! Labelled recordings.
