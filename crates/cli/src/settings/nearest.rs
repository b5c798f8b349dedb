//! What somebody most likely meant who wrote a key or a word that there is not.

use super::{SETTINGS, variable_name};

/// The word that was meant: one in which the given one is or that is in it, or else the
/// one that is written most alike.
///
/// By its letters `f1` is near to no figure at all.
pub(super) fn nearest_choice(given: &str, choices: &[&str]) -> Option<String> {
    let given = given.to_lowercase();
    let within = |choice: &str| Likeness::of(&given, choice).or(Likeness::of(choice, &given));
    let choices = || choices.iter().copied();
    let meant = closest(choices(), within).or_else(|| most_alike(&given, choices(), |word| word));
    meant.map(str::to_owned)
}

/// The key that was meant. By its letters alone `train.mixup` is nearer to `train.warmup`
/// than to `train.augment.mixup_probability`, so that these come after the words.
pub(super) fn nearest_key(given: &str) -> Option<String> {
    let given = given.to_lowercase().replace('-', "_");
    let (section, name) = given.rsplit_once('.').unwrap_or(("", &given));
    // `augment.mixup` is in the section `train.augment`, too.
    let inner = format!(".{section}.");
    let within = |key: &'static str| match (section, key.split_once(&inner)) {
        ("", _) => Some(key),
        (_, Some((_, rest))) => Some(rest),
        (section, None) => key.strip_prefix(section)?.strip_prefix('.'),
    };
    let keys = || SETTINGS.iter().map(|setting| setting.key);
    let alike = || match keys().any(|key| within(key).is_some()) {
        // What all names of a section begin with says nothing about which was meant.
        true => most_alike(name, keys().filter(|key| within(key).is_some()), last_part),
        false => most_alike(&given, keys(), |key| key),
    };
    let elsewhere = |key| Likeness::of(name, key).filter(|likeness| *likeness < Likeness::Letters);
    closest(keys(), |key| Likeness::of(name, within(key)?))
        .or_else(alike)
        .or_else(|| closest(keys(), elsewhere))
        .map(str::to_owned)
}

/// The environment variable that was meant.
pub(super) fn nearest_variable(given: &str) -> Option<String> {
    let given = given.strip_prefix("BIOPHONY_")?.to_lowercase();
    let letters = |name: &str| name.replace(['.', '_'], "");
    let same = SETTINGS
        .iter()
        .find(|setting| letters(setting.key) == letters(&given));
    let alike = || nearest_key(&given.replacen('_', ".", 1));
    let meant = same.map(|setting| setting.key.to_owned()).or_else(alike)?;
    Some(variable_name(&meant))
}

/// The candidate of which the given one is most plainly a part; of several the first,
/// which is where a section begins to speak of a thing.
fn closest<'a>(
    candidates: impl Iterator<Item = &'a str>,
    likeness: impl Fn(&'a str) -> Option<Likeness>,
) -> Option<&'a str> {
    let named_so = candidates.filter_map(|candidate| Some((likeness(candidate)?, candidate)));
    let best = named_so.min_by_key(|(likeness, _)| *likeness);
    best.map(|(_, candidate)| candidate)
}

/// The candidate whose name is written most alike, if any is near.
fn most_alike<'a>(
    given: &str,
    candidates: impl Iterator<Item = &'a str>,
    name: impl Fn(&'a str) -> &'a str,
) -> Option<&'a str> {
    candidates
        .map(|candidate| (strsim::jaro_winkler(given, name(candidate)), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

fn last_part(key: &str) -> &str {
    key.rsplit_once('.').map_or(key, |(_, last)| last)
}

/// How a name is part of another, the closest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Likeness {
    /// One of its parts between dots: `scale` of `scale.kind`.
    Part,
    /// One or several of its words: `mixup` of `augment.mixup_alpha`.
    Words,
    /// The first letters of its words: `lr` of `learning_rate`.
    Initials,
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
            _ if initials(last_part(whole)) == name => Some(Self::Initials),
            (whole, _) if name.len() >= 3 && whole.contains(name) => Some(Self::Letters),
            _ => None,
        }
    }
}

fn initials(name: &str) -> String {
    name.split('_')
        .filter_map(|word| word.chars().next())
        .collect()
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
        check("augment.mixup", "train.augment.mixup_probability");
        // Also one of another section.
        check("train.n_mels", "features.n_mels");
        check("model.dropout", "train.dropout");
    }

    #[test]
    fn a_key_is_known_by_its_initials() {
        check("train.lr", "train.learning_rate");
        check("lr", "train.learning_rate");
        check("train.LR", "train.learning_rate");
        check("train.bs", "train.batch_size");
        check("wd", "train.weight_decay");
    }

    #[test]
    fn otherwise_the_one_that_is_written_most_alike() {
        check("train.warmpu", "train.warmup");
        check("trian.epochs", "train.epochs");
        check("splti.seed", "split.seed");
        check("epohcs", "train.epochs");
        check("train.augment.gain_bd", "train.augment.gain_db");
        check(
            "augment.mixup_probabilty",
            "train.augment.mixup_probability",
        );
        // What they have in common with a key is their section.
        for given in ["zzz", "train.zzz", "train.augment.foo", "features.scale.x"] {
            assert_eq!(nearest_key(given), None, "{given}");
        }
    }

    #[test]
    fn a_word_is_known_by_a_part_of_it() {
        let meant = |given| nearest_choice(given, &["last", "macro_f1", "accuracy", "loss"]);
        assert_eq!(meant("f1").as_deref(), Some("macro_f1"));
        assert_eq!(meant("Macro-F1").as_deref(), Some("macro_f1"));
        assert_eq!(meant("acc").as_deref(), Some("accuracy"));
        assert_eq!(meant("lots"), Some("loss".to_owned()));
        assert_eq!(meant("val_loss").as_deref(), Some("loss"));
        assert_eq!(meant("val_accuracy").as_deref(), Some("accuracy"));
        for given in ["zzz", "auc", "rmsprop", ""] {
            assert_eq!(meant(given), None, "{given}");
        }
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
        assert_eq!(meant("BIOPHONY_LR"), "BIOPHONY_TRAIN_LEARNING_RATE");
        for given in [
            "BIOPHONY_FOO",
            "BIOPHONY_FOO_BAR",
            "BIOPHONY_",
            "BIOPHONY_TRAIN_X",
        ] {
            assert_eq!(nearest_variable(given), None, "{given}");
        }
    }
}
