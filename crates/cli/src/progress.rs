//! Progress on the terminal, on standard error and only where someone watches.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar that counts one kind of work.
pub(crate) struct Bar {
    bar: ProgressBar,
}

impl Bar {
    /// A bar named `what` over `total` steps. Indicatif hides it when standard
    /// error is no terminal.
    pub(crate) fn new(what: &str, total: usize) -> Self {
        let bar = ProgressBar::new(total as u64);
        let style =
            ProgressStyle::with_template("{prefix:>9} {bar:30} {pos}/{len} ETA {eta} {msg}")
                .expect("the template is valid");
        bar.set_style(style);
        bar.set_prefix(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar }
    }

    pub(crate) fn advance(&self) {
        self.bar.inc(1);
    }

    pub(crate) fn set(&self, done: usize) {
        self.bar.set_position(done as u64);
    }

    /// Renames the bar for another piece of work.
    pub(crate) fn rename(&self, what: &str) {
        self.bar.set_prefix(what.to_owned());
        self.bar.set_message(String::new());
    }

    /// Restarts the count: `total` steps, of which `done` need not be done again.
    pub(crate) fn begin(&self, total: usize, done: usize) {
        self.bar.set_length(total as u64);
        self.bar.set_position(done as u64);
        self.bar.reset_eta();
    }

    pub(crate) fn say(&self, message: String) {
        self.bar.set_message(message);
    }

    /// Prints a line above the bar, also where no bar is shown.
    pub(crate) fn note(&self, line: &str) {
        self.bar.suspend(|| eprintln!("{line}"));
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
