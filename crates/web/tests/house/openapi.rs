//! Holds the description of `/api/v1` against the routes, both ways.

use std::collections::BTreeSet;
use std::path::Path;

use crate::fixture::House;
use crate::support::{ask, get};
use axum::body::Body;

#[test]
fn what_is_described_is_there() {
    let state = House::new().state();
    let document = get(&state, "/api/v1/openapi.json").json();
    let mut n_operations = 0;
    for (path, operations) in document["paths"].as_object().expect("paths") {
        assert!(path.starts_with("/api/v1/"), "{path}");
        for method in operations.as_object().expect("operations").keys() {
            let filled = path.replace(['{', '}'], "");
            let answer = ask(&state, &method.to_uppercase(), &filled, &[], Body::empty());
            assert_ne!(answer.status, 405, "{method} {path}");
            assert!(
                !String::from_utf8_lossy(&answer.body).contains("there is nothing at"),
                "{method} {path}"
            );
            n_operations += 1;
        }
    }
    assert!(n_operations > 15, "{n_operations}");
}

#[test]
fn every_operation_says_how_it_is_refused_and_what_lets_one_in() {
    let document = get(&House::new().state(), "/api/v1/openapi.json").json();
    assert_eq!(
        document["components"]["securitySchemes"]["token"]["scheme"],
        "bearer"
    );
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            for status in ["401", "403"] {
                let refusal = &operation["responses"][status]["content"]["application/json"];
                let schema = &refusal["schema"]["$ref"];
                assert_eq!(schema, "#/components/schemas/ErrorBody", "{method} {path}");
            }
        }
    }
    let body = &document["paths"]["/api/v1/classify"]["post"]["requestBody"]["content"];
    assert!(
        body["multipart/form-data"].is_object() && body["application/octet-stream"].is_object()
    );
}

#[test]
fn refusals_of_what_was_asked_are_described() {
    let house = House::new();
    let run = house.run(&house.experiment("owls"), "dawn", 1);
    let state = house.state();
    let document = get(&state, "/api/v1/openapi.json").json();
    for (method, path, filled, status) in [
        (
            "post",
            "/api/v1/models/{name}/rollback",
            "/api/v1/models/nobody/rollback".to_owned(),
            404,
        ),
        (
            "get",
            "/api/v1/data/audio",
            "/api/v1/data/audio".to_owned(),
            400,
        ),
        (
            "get",
            "/api/v1/data/picture",
            "/api/v1/data/picture".to_owned(),
            400,
        ),
        ("get", "/api/v1/live", "/api/v1/live".to_owned(), 400),
        (
            "get",
            "/api/v1/runs/{run_id}/artifacts",
            format!("/api/v1/runs/{run}/artifacts?path=../"),
            400,
        ),
    ] {
        let answer = ask(&state, &method.to_uppercase(), &filled, &[], Body::empty());
        assert_eq!(answer.status, status, "{filled}: {}", answer.text());
        let responses = &document["paths"][path][method]["responses"];
        assert!(
            responses[status.to_string()].is_object(),
            "{filled}: {status} is not described"
        );
    }
}

#[test]
fn what_is_there_is_described() {
    let state = House::new().state();
    let document = get(&state, "/api/v1/openapi.json").json();
    let described = document["paths"].as_object().expect("paths");
    let mut routes = BTreeSet::new();
    collect_routes(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut routes,
    );
    assert!(routes.len() > 15, "{routes:?}");
    for route in routes {
        // A rest of a path is written otherwise there.
        let path = route.replace("{*", "{");
        assert!(described.contains_key(&path), "{path} is not described");
    }
}

/// The first argument of every `.route(…)` below `/api/v1`.
fn collect_routes(folder: &Path, routes: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).expect("lists") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect_routes(&path, routes);
            continue;
        }
        let source = std::fs::read_to_string(&path).expect("reads");
        for call in source.split(".route(").skip(1) {
            let argument = call
                .trim_start()
                .strip_prefix('"')
                .and_then(|c| c.split('"').next());
            routes.extend(
                argument
                    .filter(|a| a.starts_with("/api/v1"))
                    .map(str::to_owned),
            );
        }
    }
}

#[test]
fn the_description_names_its_version_and_every_reference_resolves() {
    let document = get(&House::new().state(), "/api/v1/openapi.json").json();
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    assert!(
        document["openapi"]
            .as_str()
            .expect("a version")
            .starts_with("3.")
    );
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().expect("a name");
        assert!(!document["components"]["schemas"][name].is_null(), "{name}");
    }
}
