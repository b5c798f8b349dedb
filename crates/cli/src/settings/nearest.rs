//! What somebody most likely meant who wrote a key or a word that there is not.

use super::{SETTINGS, variable_name};

/// The word that was meant: one in which the given one is, or else the one that is
/// written most alike.
///
/// By its letters `f1` is near to no figure at all.
pub(super) fn nearest_choice(given: &str, choices: &[&str]) -> Option<String> {
    let given = given.to_lowercase();
    let within = |choice: &&str| Likeness::of(&given, choice);
    let named_so = choices.iter().filter(|choice| within(choice).is_some());
    let best = named_so.min_by_key(|choice| within(choice));
    let alike = || nearest(&given, choices.iter().map(|&choice| choice.to_owned()));
    best.map(|&choice| choice.to_owned()).or_else(alike)
}

/// The candidate that is written most alike, if any is near.
fn nearest(given: &str, candidates: impl Iterator<Item = String>) -> Option<String> {
    candidates
        .map(|candidate| (strsim::jaro_winkler(given, &candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// The key that was meant: the first of the same section in whose name the given
/// one is, or else the one that is written most alike.
///
/// By its letters alone `train.mixup` is nearer to `train.warmup` than to
/// `train.augment.mixup_probability`.
pub(super) fn nearest_key(given: &str) -> Option<String> {
    let (section, name) = given.rsplit_once('.').unwrap_or(("", given));
    let name = name.replace('-', "_");
    let within = |key: &str| -> Option<Likeness> {
        let rest = match section {
            "" => key,
            section => key.strip_prefix(section)?.strip_prefix('.')?,
        };
        Likeness::of(&name, rest)
    };
    let keys = SETTINGS.iter().map(|setting| setting.key);
    let named_so = keys.filter_map(|key| Some((within(key)?, key)));
    // Of several the first, which is where a section begins to speak of a thing.
    let best = named_so.min_by_key(|(likeness, _)| *likeness);
    let alike = || nearest(given, SETTINGS.iter().map(|setting| setting.key.to_owned()));
    best.map(|(_, key)| key.to_owned()).or_else(alike)
}

/// The environment variable that was meant.
pub(super) fn nearest_variable(given: &str) -> Option<String> {
    let names = || SETTINGS.iter().map(|setting| variable_name(setting.key));
    let as_key = || {
        let (section, name) = given.strip_prefix("BIOPHONY_")?.split_once('_')?;
        let key = format!("{section}.{name}").to_lowercase();
        Some(variable_name(&nearest_key(&key)?))
    };
    as_key().or_else(|| nearest(given, names()))
}

/// How a name is part of another, the closest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Likeness {
    /// One of its parts between dots: `scale` of `scale.kind`.
    Part,
    /// One or several of its words: `mixup` of `augment.mixup_alpha`.
    Words,
    /// Letters of it: `epoch` of `epochs`.
    Letters,
}

impl Likeness {
    /// How `name` is part of `whole`. A couple of letters are in too many names to
    /// mean anything.
    fn of(name: &str, whole: &str) -> Option<Self> {
        if whole.split('.').any(|part| part == name) {
            return Some(Self::Part);
        }
        let in_words = |text: &str| format!("_{}_", text.replace('.', "_"));
        match (in_words(whole), in_words(name)) {
            (whole, name) if whole.contains(&name) => Some(Self::Words),
            (whole, _) if name.len() >= 3 && whole.contains(name) => Some(Self::Letters),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(given: &str, expected: &str) {
        assert_eq!(nearest_key(given).as_deref(), Some(expected), "{given}");
    }

    #[test]
    fn a_key_with_the_given_word_in_its_name_comes_first() {
        check("train.mixup", "train.augment.mixup_probability");
        check("train.augment.mixup", "train.augment.mixup_probability");
        check("features.scale", "features.scale.kind");
        check("features.top_db", "features.scale.top_db");
        check("features.fft", "features.n_fft");
        check("train.epoch", "train.epochs");
        check("epochs", "train.epochs");
        check("seed", "train.seed");
    }

    #[test]
    fn otherwise_the_one_that_is_written_most_alike() {
        check("train.warmpu", "train.warmup");
        check("trian.epochs", "train.epochs");
        assert_eq!(nearest_key("zzz"), None);
    }

    #[test]
    fn a_word_is_known_by_a_part_of_it() {
        let meant = |given| nearest_choice(given, &["last", "macro_f1", "accuracy", "loss"]);
        assert_eq!(meant("f1").as_deref(), Some("macro_f1"));
        assert_eq!(meant("Macro-F1").as_deref(), Some("macro_f1"));
        assert_eq!(meant("acc").as_deref(), Some("accuracy"));
        assert_eq!(meant("lots"), Some("loss".to_owned()));
        assert_eq!(meant("zzz"), None);
    }

    #[test]
    fn a_variable_is_named_like_a_key() {
        let meant = |given| nearest_variable(given).unwrap_or_default();
        assert_eq!(meant("BIOPHONY_TRAIN_EPOCH"), "BIOPHONY_TRAIN_EPOCHS");
        assert_eq!(
            meant("BIOPHONY_TRAIN_MIXUP"),
            "BIOPHONY_TRAIN_AUGMENT_MIXUP_PROBABILITY"
        );
        assert_eq!(meant("BIOPHONY_TRIAN_EPOCHS"), "BIOPHONY_TRAIN_EPOCHS");
        assert_eq!(meant("BIOPHONY_TRAINEPOCHS"), "BIOPHONY_TRAIN_EPOCHS");
    }
}
