//! Putting versions into use and taking them back.

use biophony_tracking::{CHAMPION, PREVIOUS, TrackingStore};

use crate::registry::{model, version};
use crate::{message, with_each_store};

fn aliases(store: &dyn TrackingStore) -> (Option<u32>, Option<u32>) {
    let means = |alias| {
        store
            .get_model_version_by_alias("birds", alias)
            .ok()
            .map(|version| version.version)
    };
    (means(CHAMPION), means(PREVIOUS))
}

#[test]
fn promoting_remembers_what_was_in_use() {
    with_each_store(|store| {
        model(store, "birds");
        version(store, "birds");
        version(store, "birds");
        assert_eq!(
            store.promote("birds", 1).expect("promotes").aliases,
            [CHAMPION]
        );
        assert_eq!(aliases(store), (Some(1), None));
        store.promote("birds", 2).expect("promotes");
        assert_eq!(aliases(store), (Some(2), Some(1)));
        store
            .promote("birds", 2)
            .expect("promoting the champion does nothing");
        assert_eq!(aliases(store), (Some(2), Some(1)));
    });
}

#[test]
fn a_rollback_brings_the_previous_version_back_and_a_second_one_undoes_it() {
    with_each_store(|store| {
        model(store, "birds");
        version(store, "birds");
        version(store, "birds");
        store.promote("birds", 1).expect("promotes");
        assert_eq!(
            message(store.rollback("birds")),
            "Registered Model with name=birds has no alias 'previous' to roll back to"
        );
        store.promote("birds", 2).expect("promotes");
        assert_eq!(store.rollback("birds").expect("rolls back").version, 1);
        assert_eq!(aliases(store), (Some(1), Some(2)));
        store.rollback("birds").expect("rolls back");
        assert_eq!(aliases(store), (Some(2), Some(1)));
        let moves: Vec<_> = store
            .alias_history("birds")
            .expect("a history")
            .into_iter()
            .map(|moved| (moved.action, moved.from_version, moved.to_version))
            .collect();
        assert_eq!(
            moves,
            [
                ("promote".to_owned(), None, 1),
                ("promote".to_owned(), Some(1), 2),
                ("rollback".to_owned(), Some(2), 1),
                ("rollback".to_owned(), Some(1), 2),
            ]
        );
        let tags = store.get_model_version("birds", 1).expect("there").tags;
        assert!(tags.iter().any(|tag| tag.key == "biophony.rollback"));
    });
}

#[test]
fn a_version_that_is_not_there_is_not_promoted() {
    with_each_store(|store| {
        model(store, "birds");
        version(store, "birds");
        store.promote("birds", 1).expect("promotes");
        assert!(store.promote("birds", 9).is_err());
        assert_eq!(aliases(store), (Some(1), None));
    });
}
