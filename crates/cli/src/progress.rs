//! Progress on the terminal, on standard error and only where someone watches.

use std::borrow::Cow;
use std::io::Write;
use std::sync::LazyLock;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// All bars, one below the other: steps may run side by side.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Prints a line to standard error, above the bars if there are any.
pub(crate) fn note(line: &str) {
    let line = harmless(line);
    // Who has gone away misses the line; that is no reason to end a run.
    BARS.suspend(|| drop(writeln!(std::io::stderr(), "{line}")));
}

/// The text with escapes for control characters, line ends and tabs aside: names of files
/// and classes can have some that tell a terminal to do things. The escapes are those of
/// JSON, which stays what it was.
pub(crate) fn harmless(text: &str) -> Cow<'_, str> {
    let is_meant = |character: char| matches!(character, '\n' | '\t') || !character.is_control();
    if text.chars().all(is_meant) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match is_meant(character) {
            true => shown.push(character),
            false => shown.push_str(&format!("\\u{:04x}", u32::from(character))),
        }
    }
    Cow::Owned(shown)
}

/// A bar that counts one kind of work.
pub(crate) struct Bar {
    bar: ProgressBar,
}

impl Bar {
    /// A bar named `what` over `total` steps. Indicatif hides it when standard
    /// error is no terminal.
    pub(crate) fn new(what: &str, total: usize) -> Self {
        let bar = BARS.add(ProgressBar::new(total as u64));
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

    /// Restarts the count: `total` steps, of which `done` need not be done again.
    pub(crate) fn begin(&self, total: usize, done: usize) {
        self.bar.set_length(total as u64);
        self.bar.set_position(done as u64);
        self.bar.reset_eta();
    }

    pub(crate) fn say(&self, message: String) {
        self.bar.set_message(message);
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
