//! Registered models on a server that several homes and people share: what is told,
//! what is left alone, and what is remembered for which server.

mod http;

use biophony_tracking::{
    ArtifactPath, ArtifactStore, CHAMPION, CreateExperiment, CreateLoggedModel, CreateModelVersion,
    CreateRegisteredModel, CreateRun, ExperimentId, LoggedModelStatus, Mirror, ModelOutput,
    Overwrite, PREVIOUS, RemoteStore, RunId, RunStatus, SEND_TO, Search, SqliteStore, Tag,
    TrackingError, TrackingStore, ViewType, is_copied, pending, value_of,
};
use http::TestServer;

const MODEL: &str = "birds";

/// A place where models are trained.
struct Home {
    store: SqliteStore,
    artifacts: ArtifactStore,
    _folder: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self {
            store: SqliteStore::in_memory().expect("a store"),
            artifacts: ArtifactStore::open(folder.path()).expect("artifacts"),
            _folder: folder,
        }
    }

    /// A run that made a model.
    fn train(&self) -> RunId {
        let experiment_id = ExperimentId::default_experiment();
        let run = self.store.create_run(CreateRun {
            tags: vec![Tag::new(SEND_TO, "http://elsewhere")],
            ..CreateRun::new(experiment_id.clone())
        });
        let run = run.expect("a run").info.run_id;
        let model = self.store.create_logged_model(CreateLoggedModel {
            experiment_id,
            name: Some("model".to_owned()),
            model_type: None,
            source_run_id: Some(run.clone()),
            params: Vec::new(),
            tags: Vec::new(),
        });
        let model = model.expect("a model").info;
        let path = ArtifactPath::of_uri(&model.artifact_uri).expect("a path");
        let path = path.join("MLmodel").expect("a path");
        self.artifacts.write(&path, &mut &b"x"[..]).expect("writes");
        let (id, step) = (model.model_id, 0);
        self.store
            .finalize_logged_model(&id, LoggedModelStatus::Ready)
            .expect("is ready");
        let made = ModelOutput { model_id: id, step };
        self.store.log_outputs(&run, &[made]).expect("logs");
        self.store
            .finish_run(&run, RunStatus::Finished, 9)
            .expect("ends");
        run
    }

    /// Registers the model of a run.
    fn register(&self, run: &RunId) -> u32 {
        // It may be there.
        let _ = self.store.create_registered_model(CreateRegisteredModel {
            name: MODEL.to_owned(),
            ..CreateRegisteredModel::default()
        });
        let run = self.store.get_run(run).expect("there");
        let model = run.outputs.model_outputs[0].model_id.clone();
        let version = self.store.create_model_version(CreateModelVersion {
            name: MODEL.to_owned(),
            source: format!("models:/{model}"),
            run_id: Some(run.info.run_id),
            model_id: Some(model),
            ..CreateModelVersion::default()
        });
        version.expect("a version").version
    }

    /// Trains a model and puts it into use.
    fn deploy(&self) -> u32 {
        let version = self.register(&self.train());
        self.store.promote(MODEL, version).expect("promotes");
        version
    }

    /// Sends everything; returns the aliases that were moved and what was left alone.
    fn tell(&self, server: &TestServer, overwrite: Overwrite) -> (Vec<String>, Vec<String>) {
        let remote = remote(server);
        let mirror = Mirror::new(&self.store, &self.artifacts, &remote).expect("two stores");
        let experiments = [ExperimentId::default_experiment()];
        for run in pending(&self.store, &experiments, &remote).expect("asks") {
            mirror.run(&run).expect("copies");
        }
        let told = mirror.registry(MODEL, overwrite).expect("tells");
        let left = mirror.alias_conflicts(MODEL).expect("asks");
        assert_eq!(left, told.conflicts);
        let conflicts = told.conflicts.iter().map(ToString::to_string).collect();
        (told.moved, conflicts)
    }
}

fn remote(server: &TestServer) -> RemoteStore {
    RemoteStore::new(&format!("http://{}", server.address())).expect("a store")
}

/// Which version an alias means on a server.
fn means(server: &TestServer, alias: &str) -> Option<u32> {
    let found = remote(server).get_model_version_by_alias(MODEL, alias);
    found.ok().map(|version| version.version)
}

fn n_runs(store: &dyn TrackingStore) -> usize {
    let all = [ExperimentId::default_experiment()];
    let page = store.search_runs(&all, &Search::default(), ViewType::All);
    page.expect("searches").items.len()
}

fn n_versions(server: &TestServer) -> usize {
    let search = Search::versions_of(MODEL).expect("a name");
    let page = remote(server).search_model_versions(&search);
    page.expect("searches").items.len()
}

#[test]
fn a_champion_that_somebody_else_put_into_use_is_left_alone_and_told() {
    let server = TestServer::start(|access| access);
    let (ours, theirs) = (Home::new(), Home::new());
    theirs.deploy();
    assert_eq!(theirs.tell(&server, Overwrite::Own).0, [CHAMPION]);
    ours.deploy();
    let (moved, conflicts) = ours.tell(&server, Overwrite::Own);
    assert_eq!(moved, Vec::<String>::new());
    assert_eq!(
        conflicts,
        [
            "`champion` of `birds` means version 1 there, which was not set from here; here it \
          means version 1, which is 2 there"
        ]
    );
    assert_eq!(means(&server, CHAMPION), Some(1));
    assert_eq!(means(&server, PREVIOUS), None);
    // Until a person decides; then there is a way back.
    assert_eq!(ours.tell(&server, Overwrite::Any).0, [CHAMPION]);
    assert_eq!(means(&server, CHAMPION), Some(2));
    assert_eq!(means(&server, PREVIOUS), Some(1));
    // Now it is theirs that was moved since.
    let (moved, conflicts) = theirs.tell(&server, Overwrite::Own);
    assert_eq!((moved.len(), conflicts.len()), (0, 1));
    assert_eq!(means(&server, CHAMPION), Some(2));
}

#[test]
fn a_champion_of_ones_own_moves_and_leaves_what_was_in_use_there_as_previous() {
    let server = TestServer::start(|access| access);
    let home = Home::new();
    home.deploy();
    home.tell(&server, Overwrite::Own);
    assert_eq!(
        (means(&server, CHAMPION), means(&server, PREVIOUS)),
        (Some(1), None)
    );
    // Two promotions between two tellings: what was in use there was the first.
    home.deploy();
    home.deploy();
    assert_eq!(home.tell(&server, Overwrite::Own).0, [CHAMPION]);
    assert_eq!(
        (means(&server, CHAMPION), means(&server, PREVIOUS)),
        (Some(3), Some(1))
    );
    home.store.rollback(MODEL).expect("rolls back");
    home.tell(&server, Overwrite::Own);
    assert_eq!(
        (means(&server, CHAMPION), means(&server, PREVIOUS)),
        (Some(2), Some(3))
    );
    // Somebody moves it by hand: what was sent from here is no longer what it means.
    remote(&server)
        .set_registered_model_alias(MODEL, CHAMPION, 1)
        .expect("sets");
    home.store.promote(MODEL, 3).expect("promotes");
    assert_eq!(home.tell(&server, Overwrite::Own).1.len(), 1);
    assert_eq!(means(&server, CHAMPION), Some(1));
    // Nor is what somebody has taken out of use put into use again.
    remote(&server)
        .delete_registered_model_alias(MODEL, CHAMPION)
        .expect("removes");
    let told = "`champion` of `birds` was removed there by somebody else; here it means version 3, \
                which is 3 there";
    assert_eq!(home.tell(&server, Overwrite::Own).1, [told]);
    assert_eq!(means(&server, CHAMPION), None);
    assert_eq!(home.tell(&server, Overwrite::Any).0, [CHAMPION]);
    assert_eq!(means(&server, CHAMPION), Some(3));
}

#[test]
fn aliases_of_ones_own_come_and_go_and_those_of_others_stay() {
    let server = TestServer::start(|access| access);
    let home = Home::new();
    home.deploy();
    let set = |alias: &str, version: u32| {
        let store = &home.store;
        store
            .set_registered_model_alias(MODEL, alias, version)
            .expect("sets");
    };
    set("trial", 1);
    set("night", 1);
    home.tell(&server, Overwrite::Own);
    assert_eq!(means(&server, "trial"), Some(1));
    home.deploy();
    home.tell(&server, Overwrite::Own);
    remote(&server)
        .set_registered_model_alias(MODEL, "night", 2)
        .expect("sets");
    for alias in ["trial", "night"] {
        let store = &home.store;
        store
            .delete_registered_model_alias(MODEL, alias)
            .expect("removes");
    }
    home.tell(&server, Overwrite::Own);
    assert_eq!(
        (means(&server, "trial"), means(&server, "night")),
        (None, Some(2))
    );
}

#[test]
fn what_one_server_has_says_nothing_of_another() {
    let servers = [
        TestServer::start(|access| access),
        TestServer::start(|access| access),
    ];
    let home = Home::new();
    home.deploy();
    home.tell(&servers[0], Overwrite::Own);
    home.deploy();
    // The second server gets both, under numbers of its own.
    let other = Home::new();
    other.deploy();
    other.tell(&servers[1], Overwrite::Own);
    remote(&servers[1])
        .delete_registered_model_alias(MODEL, CHAMPION)
        .expect("removes");
    home.tell(&servers[1], Overwrite::Own);
    assert_eq!(n_runs(&remote(&servers[1])), 3);
    assert_eq!(means(&servers[1], CHAMPION), Some(3));
    assert_eq!(means(&servers[1], PREVIOUS), Some(2));
    assert_eq!(
        (n_runs(&remote(&servers[0])), means(&servers[0], CHAMPION)),
        (1, Some(1))
    );
    home.tell(&servers[0], Overwrite::Own);
    assert_eq!(
        (n_runs(&remote(&servers[0])), means(&servers[0], CHAMPION)),
        (2, Some(2))
    );
    let run = home
        .store
        .get_model_version(MODEL, 1)
        .expect("there")
        .run_id;
    let run = home.store.get_run(&run.expect("has one")).expect("there");
    assert!(is_copied(&run));
    // Copies know nothing of where they were to go.
    let copies = remote(&servers[0]).search_runs(
        &[ExperimentId::default_experiment()],
        &Search::default(),
        ViewType::All,
    );
    for copy in copies.expect("searches").items {
        assert_eq!(value_of(&copy.data.tags, SEND_TO), None);
    }
}

#[test]
fn a_version_that_is_registered_after_its_run_was_sent_is_sent_too() {
    let server = TestServer::start(|access| access);
    let home = Home::new();
    let run = home.train();
    home.tell(&server, Overwrite::Own);
    home.register(&run);
    home.tell(&server, Overwrite::Own);
    assert_eq!(n_versions(&server), 1);
    home.tell(&server, Overwrite::Own);
    assert_eq!(n_versions(&server), 1, "once");
}

/// As a run is that was imported without its files.
#[test]
fn a_run_whose_files_are_elsewhere_is_sent_without_them() {
    let server = TestServer::start(|access| access);
    let experiment = remote(&server)
        .create_experiment(CreateExperiment {
            name: "kept elsewhere".to_owned(),
            artifact_location: Some("s3://bucket".to_owned()),
            ..CreateExperiment::default()
        })
        .expect("is new");
    let home = Home::new();
    let here = home.store.create_experiment(CreateExperiment {
        name: "from elsewhere".to_owned(),
        artifact_location: Some("s3://other".to_owned()),
        ..CreateExperiment::default()
    });
    let also = home.store.create_experiment(CreateExperiment {
        name: "kept elsewhere".to_owned(),
        ..CreateExperiment::default()
    });
    let to = remote(&server);
    let mirror = Mirror::new(&home.store, &home.artifacts, &to).expect("two stores");
    for (experiment, place) in [(here, "s3://other"), (also, "s3://bucket")] {
        let run = home
            .store
            .create_run(CreateRun::new(experiment.expect("is new")));
        let run = run.expect("a run").info.run_id;
        home.store
            .finish_run(&run, RunStatus::Finished, 9)
            .expect("ends");
        let left = mirror.run(&run).expect("is sent").files_left;
        assert!(left.is_some_and(|why| why.contains(place)));
    }
    let page = to.search_runs(&[experiment], &Search::default(), ViewType::All);
    assert_eq!(page.expect("searches").items.len(), 1);
}

#[test]
fn a_server_of_the_same_store_is_told_nothing() {
    let server = TestServer::start(|access| access);
    let same = SqliteStore::open(server.folder().join("tracking.db")).expect("opens");
    same.create_run(CreateRun::new(ExperimentId::default_experiment()))
        .expect("a run");
    let artifacts = ArtifactStore::open(server.folder().join("artifacts")).expect("opens");
    // By whatever address.
    let port = server.address().port();
    for host in ["127.0.0.1", "localhost"] {
        let remote = RemoteStore::new(&format!("http://{host}:{port}")).expect("a store");
        let refused = Mirror::new(&same, &artifacts, &remote).map(|_| ());
        assert!(
            matches!(refused, Err(TrackingError::SameStore)),
            "{refused:?}"
        );
    }
    assert_eq!(n_runs(&same), 1);
}

#[test]
fn what_was_received_is_not_sent_on() {
    let (first, second) = (
        TestServer::start(|access| access),
        TestServer::start(|access| access),
    );
    let home = Home::new();
    home.deploy();
    home.tell(&first, Overwrite::Own);
    // The first server's own folder is told to the second.
    let store = SqliteStore::open(first.folder().join("tracking.db")).expect("opens");
    let experiments = [ExperimentId::default_experiment()];
    let left = pending(&store, &experiments, &remote(&second)).expect("asks");
    assert_eq!(left, Vec::<RunId>::new());
    let artifacts = ArtifactStore::open(first.folder().join("artifacts")).expect("opens");
    let to = remote(&second);
    let mirror = Mirror::new(&store, &artifacts, &to).expect("two stores");
    let told = mirror.registry(MODEL, Overwrite::Any).expect("tells");
    assert_eq!(told, biophony_tracking::AliasMoves::default());
    assert!(to.get_registered_model(MODEL).is_err());
}

#[test]
fn names_with_quotes_in_them_can_be_searched_for() {
    let store = SqliteStore::in_memory().expect("a store");
    for name in ["it's", "\"birds\"", "plain"] {
        store
            .create_registered_model(CreateRegisteredModel {
                name: name.to_owned(),
                ..CreateRegisteredModel::default()
            })
            .expect("registers");
        let request = CreateModelVersion {
            name: name.to_owned(),
            source: "s3://x/y".to_owned(),
            ..CreateModelVersion::default()
        };
        store.create_model_version(request).expect("a version");
        let search = Search::versions_of(name).expect("one kind of quotes");
        let found = store.search_model_versions(&search).expect("searches");
        assert_eq!(found.items.len(), 1, "{name}");
    }
    assert!(Search::versions_of("it's \"birds\"").is_err());
}
