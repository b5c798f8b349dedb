//! Searches find what matches, in order, page by page, and refuse the rest.

use biophony_tracking::{
    CreateExperiment, CreateRun, Dataset, DatasetInput, ExperimentId, LogBatch, Metric, Param,
    Search, Tag, TrackingStore, ViewType,
};

use crate::registry::{model, version};
use crate::{message, with_each_store};

/// Four runs, `a` to `d`, started in this order.
fn four_runs(store: &dyn TrackingStore) {
    for (start_time, name, loss, optimizer) in [
        (1, "a", Some(0.5), "adam"),
        (2, "b", Some(f64::NAN), "Adam"),
        (3, "c", None, "sgd"),
        (4, "d", Some(0.1), "adamw"),
    ] {
        let run = store
            .create_run(CreateRun {
                start_time,
                run_name: Some(name.to_owned()),
                user_id: "ada".to_owned(),
                ..CreateRun::new(ExperimentId::default_experiment())
            })
            .expect("a run")
            .info
            .run_id;
        store
            .log_batch(
                &run,
                &LogBatch {
                    metrics: loss
                        .map(|loss| Metric::new("val loss", loss, 1, 0))
                        .into_iter()
                        .collect(),
                    params: vec![Param::new("optimizer", optimizer)],
                    tags: vec![Tag::new("site.name", format!("pond {name}"))],
                },
            )
            .expect("logs");
        if name == "c" {
            store.set_tag(&run, Tag::new("only", "c")).expect("tags");
            let dataset = Dataset {
                name: "animals".to_owned(),
                digest: "d1".to_owned(),
                source_type: "local".to_owned(),
                source: "{}".to_owned(),
                schema: None,
                profile: None,
            };
            let tags = vec![Tag::new("mlflow.data.context", "training")];
            store
                .log_inputs(&run, &[DatasetInput { tags, dataset }], &[])
                .expect("logs inputs");
        }
    }
}

fn names(store: &dyn TrackingStore, search: &Search) -> String {
    let default = ExperimentId::default_experiment();
    let page = store
        .search_runs(&[default], search, ViewType::ActiveOnly)
        .unwrap_or_else(|error| panic!("{search:?}: {error}"));
    page.items
        .iter()
        .map(|run| run.info.run_name.as_str())
        .collect()
}

#[test]
fn filters_for_runs() {
    with_each_store(|store| {
        four_runs(store);
        for (filter, expected) in [
            ("", "dcba"),
            ("metrics.`val loss` < 0.2", "d"),
            ("metric.\"val loss\" <= 0.5", "da"),
            ("metrics.`val loss` != 0.5", "db"),
            (
                "metrics.`val loss` > -1e3 AND metrics.`val loss` < 0.3",
                "d",
            ),
            ("params.optimizer = 'adam'", "a"),
            ("params.optimizer != 'adam'", "dcb"),
            ("param.optimizer LIKE 'adam%'", "da"),
            ("parameters.optimizer ILIKE 'ADAM_'", "d"),
            ("params.optimizer ilike '%D%'", "dcba"),
            ("tags.only = 'c'", "c"),
            ("tags.only IS NULL", "dba"),
            ("tag.only IS NOT NULL and params.optimizer = \"sgd\"", "c"),
            ("tags.`site.name` = 'pond b'", "b"),
            (
                "tags.site.name LIKE 'pond %' AND attributes.start_time >= 3",
                "dc",
            ),
            ("run_name = 'a'", "a"),
            ("attr.run_name LIKE '%'", "dcba"),
            ("attributes.`run name` = 'a'", "a"),
            ("created < 3", "ba"),
            ("start_time = 2", "b"),
            ("status = 'RUNNING' AND user_id != 'bob'", "dcba"),
            ("end_time > 0", ""),
            ("run_id IN ('x', \"y\")", ""),
            ("run_id NOT IN ('x')", "dcba"),
            ("dataset.name = 'animals'", "c"),
            ("datasets.digest IN ('d1', 'd2')", "c"),
            ("dataset.context LIKE 'train%'", "c"),
            ("params.nothing != 'x'", ""),
            ("params.optimizer = 'it\\'s'", ""),
            ("`run_name` = 'a'", "a"),
            ("`metrics`.`val loss` < 0.2", "d"),
            ("params.optimizer = ''' OR 1=1 --'", ""),
            // Keys may be in any quotes, and in a question for what is missing in none.
            ("metrics.'val loss' < 0.2", "d"),
            ("params.'optimizer' LIKE 'adam%'", "da"),
            ("tags.'site.name'='pond b'", "b"),
            ("tags.'only' IS NULL", "dba"),
            ("attributes.'run_name' = 'a'", "a"),
            ("tags.x/y z IS NULL", "dcba"),
            ("tags.only x IS NOT NULL", ""),
            // Two texts side by side are one.
            ("run_name != 'x' AND run_id NOT IN ('x' \"y\", 'z')", "dcba"),
        ] {
            assert_eq!(
                names(store, &Search::matching(filter)),
                expected,
                "{filter}"
            );
        }
    });
}

#[test]
fn orders_of_runs() {
    with_each_store(|store| {
        four_runs(store);
        for (order, expected) in [
            (&["start_time ASC"][..], "abcd"),
            (&["attributes.start_time DESC"], "dcba"),
            // Real values, then not-a-number, then what is missing.
            (&["metrics.`val loss`"], "dabc"),
            (&["metrics.`val loss` DESC"], "adbc"),
            (&["params.optimizer asc"], "badc"),
            (&["tags.only DESC"], "cdba"),
            (&["run_name desc"], "dcba"),
            (&["user_id", "start_time"], "abcd"),
            (&["`metrics.val loss` DESC"], "adbc"),
            (&["tags.'only' DESC", "metrics.'val loss'"], "cdab"),
        ] {
            let search = Search {
                order_by: order.iter().map(|&key| key.to_owned()).collect(),
                ..Search::default()
            };
            assert_eq!(names(store, &search), expected, "{order:?}");
        }
    });
}

#[test]
fn pages_join_up() {
    with_each_store(|store| {
        four_runs(store);
        let mut token = None;
        let mut pages = Vec::new();
        loop {
            let search = Search {
                max_results: Some(3),
                page_token: token,
                ..Search::default()
            };
            let default = ExperimentId::default_experiment();
            let page = store
                .search_runs(&[default], &search, ViewType::All)
                .expect("a page");
            pages.push(page.items.len());
            token = page.next_page_token;
            if token.is_none() {
                break;
            }
        }
        assert_eq!(pages, [3, 1]);
    });
}

/// A message with the words of Python's sets in one order: it prints them in any.
fn sets_sorted(message: &str) -> String {
    let Some((before, rest)) = message.split_once('{') else {
        return message.to_owned();
    };
    let (set, after) = rest.split_once('}').expect("sets are closed");
    let mut words: Vec<&str> = set.split(", ").collect();
    words.sort_unstable();
    format!("{before}{{{}}}{after}", words.join(", "))
}

#[test]
fn refused_searches_for_runs() {
    with_each_store(|store| {
        let default = [ExperimentId::default_experiment()];
        for (filter, expected) in [
            (
                "metrics.a > 'x'",
                "Expected numeric value type for metric. Found 'x'",
            ),
            (
                "params.p = 1",
                "Expected a quoted string value for parameter (e.g. 'my-value'). Got value 1",
            ),
            (
                "metrics.a > 0 OR metrics.a < 1",
                "Invalid clause(s) in filter string: 'OR'",
            ),
            (
                "foo.a = '1'",
                "Invalid entity type 'foo'. Valid values are ['metric', 'parameter', 'tag', \
                 'attribute', 'dataset']",
            ),
            (
                "foo = '1'",
                "Invalid attribute key 'foo' specified. Valid keys are '{'artifact_uri', 'run_id', \
                 'run_name', 'status', 'user_id', 'end_time', 'start_time', 'Created', 'created', \
                 'Run Name', 'Run name', 'run name'}'",
            ),
            (
                "run_name IN ('a')",
                "Only ['run_id'] attributes support comparison with a list of quoted string values.",
            ),
            (
                "metrics.a IS NULL",
                "IS NULL / IS NOT NULL is only supported for tags and params, not for 'metric' 'a'",
            ),
            (
                "run_id IN ()",
                "While parsing a list in the query, expected a non-empty list of string values, \
                 but got empty list",
            ),
            (
                "run_id NOT IN 'a'",
                "Invalid clause(s) in filter string: 'run_id', 'NOT', 'IN', ''a''",
            ),
            (
                "created = 'x'",
                "Expected numeric value type for numeric attribute: created. Found 'x'",
            ),
            (
                "tags.a-b = 'x'",
                "Invalid comparison clause. Expected 'Identifier' found 'tags.a-b'",
            ),
            ("metric z", "Invalid clause(s) in filter string: 'metric z'"),
            (
                "metrics.a > 0 z",
                "Invalid clause(s) in filter string: 'metrics.a > 0 z'",
            ),
            (
                "params.a = x%y",
                "Expected a quoted string value for parameter (e.g. 'my-value'). Got value x%y",
            ),
            (
                "params.a = NULL",
                "Expected a quoted string value for parameter (e.g. 'my-value'). Got value NULL",
            ),
            (
                "params.a = %y",
                "Invalid clause(s) in filter string: 'params.a', '=', '%', 'y'",
            ),
            (
                "run_id IN ('it's')",
                "While parsing a list in the query, expected a non-empty list of string values, \
                 but got ill-formed list.",
            ),
            (
                "run_name = 'a",
                "Invalid clause(s) in filter string: 'run_name', '=', ''', 'a'",
            ),
            (
                "metrics.a > 0x1",
                "Invalid clause(s) in filter string: 'metrics.a', '>', '0x1'",
            ),
            (
                "'a' = 'b'",
                "Invalid comparison clause. Expected 'Identifier' found ''a''",
            ),
            ("params.a = 'b';", "Invalid clause(s) in filter string: ';'"),
            ("  ", "Invalid filter '  '. Could not be parsed."),
            (
                "params.a = 'b'; params.c = 'd'",
                "Search filter contained multiple expression \"params.a = 'b'; params.c = 'd'\". \
                 Provide AND-ed expression list.",
            ),
        ] {
            let refused = store.search_runs(&default, &Search::matching(filter), ViewType::All);
            let refused = sets_sorted(&message(refused));
            assert_eq!(refused, sets_sorted(expected), "{filter}");
        }
        for filter in [
            "(",
            "'",
            "params.",
            "params.a",
            "= 'x'",
            "a = b = c",
            "\u{0}",
            "params.a <> 'x'",
            "run_id = ('a', 'b')",
        ] {
            let refused = store.search_runs(&default, &Search::matching(filter), ViewType::All);
            assert!(refused.is_err(), "{filter}");
        }
    });
}

#[test]
fn refused_orders_and_pages() {
    with_each_store(|store| {
        let default = [ExperimentId::default_experiment()];
        let ordered = |key: &str| {
            let search = Search {
                order_by: vec![key.to_owned()],
                ..Search::default()
            };
            message(store.search_runs(&default, &search, ViewType::All))
        };
        assert_eq!(
            ordered("metrics.a FOO"),
            "Invalid ordering key in order_by clause 'metrics.a FOO'."
        );
        assert_eq!(
            ordered("metrics.a ASC, b"),
            "Invalid order_by clause 'metrics.a ASC, b'. Could not be parsed."
        );
        for key in [
            "metrics.a DESC ",
            " metrics.a DESC",
            "start_time ",
            "'run_name'",
        ] {
            let expected = format!("Invalid order_by clause '{key}'. Could not be parsed.");
            assert_eq!(ordered(key), expected);
        }
        for (max_results, expected) in [
            (
                0,
                "Invalid value 0 for parameter 'max_results' supplied. It must be a positive integer",
            ),
            (
                50_001,
                "Invalid value 50001 for parameter 'max_results' supplied. It must be at most 50000",
            ),
        ] {
            let search = Search {
                max_results: Some(max_results),
                ..Search::default()
            };
            let refused = store.search_experiments(&search, ViewType::All);
            assert_eq!(message(refused), expected);
        }
    });
}

#[test]
fn filters_and_orders_of_experiments() {
    with_each_store(|store| {
        for (name, tag) in [("bats", "night"), ("birds", "day")] {
            store
                .create_experiment(CreateExperiment {
                    name: name.to_owned(),
                    artifact_location: None,
                    tags: vec![Tag::new("time", tag)],
                })
                .expect("new");
        }
        let sorted = |filter: &str, order: &[&str]| -> Vec<String> {
            let search = Search {
                order_by: order.iter().map(|&key| key.to_owned()).collect(),
                ..Search::matching(filter)
            };
            store
                .search_experiments(&search, ViewType::ActiveOnly)
                .unwrap_or_else(|error| panic!("{filter}: {error}"))
                .items
                .into_iter()
                .map(|experiment| experiment.name)
                .collect()
        };
        let found = |filter: &str, order: &str| sorted(filter, &[order]);
        assert_eq!(found("", "name ASC"), ["Default", "bats", "birds"]);
        // Of a key that is there twice the first counts.
        let descending = ["birds", "bats", "Default"];
        assert_eq!(sorted("", &["name DESC", "name ASC"]), descending);
        assert_eq!(found("name LIKE 'b%'", "name DESC"), ["birds", "bats"]);
        assert_eq!(found("name ILIKE 'B%'", "experiment_id"), ["bats", "birds"]);
        assert_eq!(found("tags.time = 'day'", "name"), ["birds"]);
        assert_eq!(found("tags.time IS NULL", "name"), ["Default"]);
        assert_eq!(
            found("experiment_id IN ('1', '2')", "name"),
            ["bats", "birds"]
        );
        assert_eq!(
            found("creation_time > 0 AND experiment_id != '0'", "name").len(),
            2
        );
        assert_eq!(
            message(store.search_experiments(&Search::matching("a.b = 'x'"), ViewType::All)),
            "Invalid entity type 'a'. Valid entity types are ('attribute', 'tag', 'tags')"
        );
    });
}

#[test]
fn filters_for_registered_models_and_versions() {
    with_each_store(|store| {
        for name in ["birds", "bats", "frogs"] {
            model(store, name);
        }
        version(store, "birds");
        version(store, "birds");
        store
            .set_registered_model_tag("bats", &Tag::new("sense", "echo"))
            .expect("tags");
        let models = |filter: &str| -> Vec<String> {
            let page = store
                .search_registered_models(&Search::matching(filter))
                .unwrap_or_else(|error| panic!("{filter}: {error}"));
            page.items.into_iter().map(|model| model.name).collect()
        };
        assert_eq!(models(""), ["bats", "birds", "frogs"]);
        assert_eq!(models("name LIKE 'b%' AND name != 'bats'"), ["birds"]);
        assert_eq!(models("name IN ('frogs', 'x')"), ["frogs"]);
        assert_eq!(models("tags.sense = 'echo'"), ["bats"]);
        let versions = |filter: &str| -> Vec<u32> {
            let page = store
                .search_model_versions(&Search {
                    order_by: vec!["version_number DESC".to_owned()],
                    ..Search::matching(filter)
                })
                .unwrap_or_else(|error| panic!("{filter}: {error}"));
            page.items
                .into_iter()
                .map(|version| version.version)
                .collect()
        };
        assert_eq!(versions("name = 'birds'"), [2, 1]);
        assert_eq!(versions("version_number > 1"), [2]);
        assert_eq!(versions("run_id IN ('r') AND name = 'birds'"), [2, 1]);
        assert_eq!(
            versions("tags.`data.digest` = 'abc' AND version_number = 1"),
            [1]
        );
        assert_eq!(versions("source_path LIKE '%model'"), [2, 1]);
        assert_eq!(
            versions("tags.'data.digest'='abc' AND version_number = '2'"),
            [2]
        );
        for (filter, expected) in [
            (
                "alias='champion'",
                "Invalid clause(s) in filter string: alias, =, 'champion'",
            ),
            (
                "version_number IN (1)",
                "Only ['name', 'run_id'] attributes support comparison with a list of quoted \
                 string values.",
            ),
            (
                "version_number = 'x'",
                "Invalid value for numeric attribute 'version_number': 'x'",
            ),
            (
                "version_number = 1.5",
                "Invalid value for numeric attribute 'version_number': 1.5",
            ),
        ] {
            let refused = store.search_model_versions(&Search::matching(filter));
            assert_eq!(message(refused), expected, "{filter}");
        }
        assert_eq!(
            message(store.search_registered_models(&Search::matching("foo='1'"))),
            "Invalid attribute key 'foo' specified. Valid keys are '{'name'}'"
        );
    });
}
