//! Writing a database that `mlflow server` opens.
//!
//! The file has the schema that MLflow had in early 2025, at the revision
//! [`REVISION`] of its migrations, the first that holds all that is kept here: MLflow 3
//! brings such a file up to date when it starts, and keeps what is in it. The tables,
//! columns and constraints below are named as its migrations expect to find them.
//!
//! Our own history of promotions goes along as tags.

use std::path::Path;

use rusqlite::Connection;

use super::points::unpack_row;
use super::{SqliteStore, lock};
use crate::error::{Result, TrackingError};

/// The revision of MLflow's migrations whose schema is written.
const REVISION: &str = "6953534de441";

impl SqliteStore {
    /// Writes everything into a new file for MLflow.
    ///
    /// # Errors
    ///
    /// When there is a file of this name already, or it cannot be written. No half
    /// of a file stays.
    pub fn export_mlflow(&self, file: &Path) -> Result<()> {
        if file.exists() {
            return Err(TrackingError::AlreadyExists(format!(
                "there is already a file `{}`",
                file.display()
            )));
        }
        let unfinished = file.with_extension("unfinished");
        let written = self.write_mlflow(&unfinished).and_then(|()| {
            std::fs::rename(&unfinished, file).map_err(|source| TrackingError::ArtifactIo {
                doing: "write",
                path: file.to_owned(),
                source,
            })
        });
        if written.is_err() {
            // It may not have come into being.
            let _ = std::fs::remove_file(&unfinished);
        }
        written
    }

    fn write_mlflow(&self, file: &Path) -> Result<()> {
        let writer = lock(&self.writer);
        let db = &writer.connection;
        db.execute("ATTACH DATABASE ?1 AS mlflow", [file.to_string_lossy()])?;
        let copied = copy(db);
        let detached = db.execute_batch("DETACH DATABASE mlflow");
        copied?;
        Ok(detached?)
    }
}

fn copy(db: &Connection) -> Result<()> {
    let transaction = db.unchecked_transaction()?;
    transaction.execute_batch(SCHEMA)?;
    transaction.execute(
        "INSERT INTO mlflow.alembic_version (version_num) VALUES (?1)",
        [REVISION],
    )?;
    transaction.execute_batch(ROWS)?;
    copy_points(&transaction)?;
    transaction.commit()?;
    Ok(())
}

/// MLflow has a row for each point.
fn copy_points(db: &Connection) -> Result<()> {
    let mut packed = db.prepare(
        "SELECT m.run, m.block, m.key, m.points, r.run_id, k.name
         FROM main.metrics m JOIN main.metric_keys k ON k.id = m.key
                             JOIN main.runs r ON r.id = m.run",
    )?;
    // The same point may lie here in two rows.
    let mut insert = db.prepare(
        "INSERT INTO mlflow.metrics (key, value, timestamp, run_uuid, step, is_nan)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
    )?;
    let mut points = Vec::new();
    let mut rows = packed.query([])?;
    while let Some(row) = rows.next()? {
        unpack_row(row, &mut points)?;
        let (run, key): (String, String) = (row.get(4)?, row.get(5)?);
        for p in points.drain(..) {
            insert.execute((&key, p.value, p.timestamp, &run, p.step, p.is_nan))?;
        }
    }
    Ok(())
}

const SCHEMA: &str = "
CREATE TABLE mlflow.alembic_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
CREATE TABLE mlflow.experiments (
    experiment_id INTEGER NOT NULL,
    name VARCHAR(256) NOT NULL,
    artifact_location VARCHAR(256),
    lifecycle_stage VARCHAR(32),
    creation_time BIGINT,
    last_update_time BIGINT,
    CONSTRAINT experiment_pk PRIMARY KEY (experiment_id),
    CONSTRAINT experiments_lifecycle_stage CHECK (lifecycle_stage IN ('active', 'deleted')),
    UNIQUE (name)
);
CREATE TABLE mlflow.experiment_tags (
    key VARCHAR(250) NOT NULL,
    value VARCHAR(5000),
    experiment_id INTEGER NOT NULL,
    CONSTRAINT experiment_tag_pk PRIMARY KEY (key, experiment_id),
    FOREIGN KEY (experiment_id) REFERENCES experiments (experiment_id)
);
CREATE TABLE mlflow.runs (
    run_uuid VARCHAR(32) NOT NULL,
    name VARCHAR(250),
    source_type VARCHAR(20),
    source_name VARCHAR(500),
    entry_point_name VARCHAR(50),
    user_id VARCHAR(256),
    status VARCHAR(9),
    start_time BIGINT,
    end_time BIGINT,
    source_version VARCHAR(50),
    lifecycle_stage VARCHAR(20),
    artifact_uri VARCHAR(200),
    experiment_id INTEGER,
    deleted_time BIGINT,
    CONSTRAINT run_pk PRIMARY KEY (run_uuid),
    CONSTRAINT runs_lifecycle_stage CHECK (lifecycle_stage IN ('active', 'deleted')),
    CONSTRAINT source_type CHECK (source_type IN
        ('NOTEBOOK', 'JOB', 'LOCAL', 'UNKNOWN', 'PROJECT')),
    FOREIGN KEY (experiment_id) REFERENCES experiments (experiment_id),
    CHECK (status IN ('SCHEDULED', 'FAILED', 'FINISHED', 'RUNNING', 'KILLED'))
);
CREATE TABLE mlflow.metrics (
    key VARCHAR(250) NOT NULL,
    value FLOAT NOT NULL,
    timestamp BIGINT NOT NULL,
    run_uuid VARCHAR(32) NOT NULL,
    step BIGINT DEFAULT '0' NOT NULL,
    is_nan BOOLEAN DEFAULT '0' NOT NULL,
    CONSTRAINT metric_pk PRIMARY KEY (key, timestamp, step, run_uuid, value, is_nan),
    FOREIGN KEY (run_uuid) REFERENCES runs (run_uuid),
    CHECK (is_nan IN (0, 1))
);
CREATE TABLE mlflow.latest_metrics (
    key VARCHAR(250) NOT NULL,
    value FLOAT NOT NULL,
    timestamp BIGINT,
    step BIGINT NOT NULL,
    is_nan BOOLEAN NOT NULL,
    run_uuid VARCHAR(32) NOT NULL,
    CONSTRAINT latest_metric_pk PRIMARY KEY (key, run_uuid),
    FOREIGN KEY (run_uuid) REFERENCES runs (run_uuid),
    CHECK (is_nan IN (0, 1))
);
CREATE TABLE mlflow.params (
    key VARCHAR(250) NOT NULL,
    value VARCHAR(8000) NOT NULL,
    run_uuid VARCHAR(32) NOT NULL,
    CONSTRAINT param_pk PRIMARY KEY (key, run_uuid),
    FOREIGN KEY (run_uuid) REFERENCES runs (run_uuid)
);
CREATE TABLE mlflow.tags (
    key VARCHAR(250) NOT NULL,
    value VARCHAR(8000),
    run_uuid VARCHAR(32) NOT NULL,
    CONSTRAINT tag_pk PRIMARY KEY (key, run_uuid),
    FOREIGN KEY (run_uuid) REFERENCES runs (run_uuid)
);
CREATE TABLE mlflow.datasets (
    dataset_uuid VARCHAR(36) NOT NULL,
    experiment_id INTEGER NOT NULL,
    name VARCHAR(500) NOT NULL,
    digest VARCHAR(36) NOT NULL,
    dataset_source_type VARCHAR(36) NOT NULL,
    dataset_source TEXT NOT NULL,
    dataset_schema TEXT,
    dataset_profile TEXT,
    CONSTRAINT dataset_pk PRIMARY KEY (experiment_id, name, digest),
    CONSTRAINT fk_datasets_experiment_id_experiments FOREIGN KEY (experiment_id)
        REFERENCES experiments (experiment_id) ON DELETE CASCADE
);
CREATE TABLE mlflow.inputs (
    input_uuid VARCHAR(36) NOT NULL,
    source_type VARCHAR(36) NOT NULL,
    source_id VARCHAR(36) NOT NULL,
    destination_type VARCHAR(36) NOT NULL,
    destination_id VARCHAR(36) NOT NULL,
    step BIGINT DEFAULT '0' NOT NULL,
    CONSTRAINT inputs_pk PRIMARY KEY (source_type, source_id, destination_type, destination_id)
);
CREATE TABLE mlflow.input_tags (
    input_uuid VARCHAR(36) NOT NULL,
    name VARCHAR(255) NOT NULL,
    value VARCHAR(500) NOT NULL,
    CONSTRAINT input_tags_pk PRIMARY KEY (input_uuid, name)
);
CREATE TABLE mlflow.registered_models (
    name VARCHAR(256) NOT NULL,
    creation_time BIGINT,
    last_updated_time BIGINT,
    description VARCHAR(5000),
    CONSTRAINT registered_model_pk PRIMARY KEY (name),
    UNIQUE (name)
);
CREATE TABLE mlflow.registered_model_tags (
    key VARCHAR(250) NOT NULL,
    value VARCHAR(5000),
    name VARCHAR(256) NOT NULL,
    CONSTRAINT registered_model_tag_pk PRIMARY KEY (key, name),
    FOREIGN KEY (name) REFERENCES registered_models (name) ON UPDATE cascade
);
CREATE TABLE mlflow.registered_model_aliases (
    alias VARCHAR(256) NOT NULL,
    version INTEGER NOT NULL,
    name VARCHAR(256) NOT NULL,
    CONSTRAINT registered_model_alias_pk PRIMARY KEY (name, alias),
    CONSTRAINT registered_model_alias_name_fkey FOREIGN KEY (name)
        REFERENCES registered_models (name) ON DELETE cascade ON UPDATE cascade
);
CREATE TABLE mlflow.model_versions (
    name VARCHAR(256) NOT NULL,
    version INTEGER NOT NULL,
    creation_time BIGINT,
    last_updated_time BIGINT,
    description VARCHAR(5000),
    user_id VARCHAR(256),
    current_stage VARCHAR(20),
    source VARCHAR(500),
    run_id VARCHAR(32),
    status VARCHAR(20),
    status_message VARCHAR(500),
    run_link VARCHAR(500),
    storage_location VARCHAR(500),
    CONSTRAINT model_version_pk PRIMARY KEY (name, version),
    FOREIGN KEY (name) REFERENCES registered_models (name) ON UPDATE CASCADE
);
CREATE TABLE mlflow.model_version_tags (
    key VARCHAR(250) NOT NULL,
    value VARCHAR(5000),
    name VARCHAR(256) NOT NULL,
    version INTEGER NOT NULL,
    CONSTRAINT model_version_tag_pk PRIMARY KEY (key, name, version),
    FOREIGN KEY (name, version) REFERENCES model_versions (name, version) ON UPDATE cascade
);
CREATE TABLE mlflow.trace_info (
    request_id VARCHAR(50) NOT NULL,
    experiment_id INTEGER NOT NULL,
    timestamp_ms BIGINT NOT NULL,
    execution_time_ms BIGINT,
    status VARCHAR(50) NOT NULL,
    CONSTRAINT trace_info_pk PRIMARY KEY (request_id),
    CONSTRAINT fk_trace_info_experiment_id FOREIGN KEY (experiment_id)
        REFERENCES experiments (experiment_id)
);
CREATE TABLE mlflow.trace_tags (
    key VARCHAR(250) NOT NULL,
    value VARCHAR(8000),
    request_id VARCHAR(50) NOT NULL,
    CONSTRAINT trace_tag_pk PRIMARY KEY (key, request_id),
    CONSTRAINT fk_trace_tags_request_id FOREIGN KEY (request_id)
        REFERENCES trace_info (request_id) ON DELETE CASCADE
);
CREATE TABLE mlflow.trace_request_metadata (
    key VARCHAR(250) NOT NULL,
    value VARCHAR(8000),
    request_id VARCHAR(50) NOT NULL,
    CONSTRAINT trace_request_metadata_pk PRIMARY KEY (key, request_id),
    CONSTRAINT fk_trace_request_metadata_request_id FOREIGN KEY (request_id)
        REFERENCES trace_info (request_id) ON DELETE CASCADE
);
CREATE TABLE mlflow.logged_models (
    model_id VARCHAR(36) NOT NULL,
    experiment_id INTEGER NOT NULL,
    name VARCHAR(500) NOT NULL,
    artifact_location VARCHAR(1000) NOT NULL,
    creation_timestamp_ms BIGINT NOT NULL,
    last_updated_timestamp_ms BIGINT NOT NULL,
    status INTEGER NOT NULL,
    lifecycle_stage VARCHAR(32),
    model_type VARCHAR(500),
    source_run_id VARCHAR(32),
    status_message VARCHAR(1000),
    CONSTRAINT logged_models_pk PRIMARY KEY (model_id),
    CONSTRAINT logged_models_lifecycle_stage_check
        CHECK (lifecycle_stage IN ('active', 'deleted')),
    CONSTRAINT fk_logged_models_experiment_id FOREIGN KEY (experiment_id)
        REFERENCES experiments (experiment_id) ON DELETE CASCADE
);
CREATE TABLE mlflow.logged_model_metrics (
    model_id VARCHAR(36) NOT NULL,
    metric_name VARCHAR(500) NOT NULL,
    metric_timestamp_ms BIGINT NOT NULL,
    metric_step BIGINT NOT NULL,
    metric_value FLOAT,
    experiment_id INTEGER NOT NULL,
    run_id VARCHAR(32) NOT NULL,
    dataset_uuid VARCHAR(36),
    dataset_name VARCHAR(500),
    dataset_digest VARCHAR(36),
    CONSTRAINT logged_model_metrics_pk
        PRIMARY KEY (model_id, metric_name, metric_timestamp_ms, metric_step, run_id),
    CONSTRAINT fk_logged_model_metrics_experiment_id FOREIGN KEY (experiment_id)
        REFERENCES experiments (experiment_id),
    CONSTRAINT fk_logged_model_metrics_model_id FOREIGN KEY (model_id)
        REFERENCES logged_models (model_id) ON DELETE CASCADE,
    CONSTRAINT fk_logged_model_metrics_run_id FOREIGN KEY (run_id)
        REFERENCES runs (run_uuid) ON DELETE CASCADE
);
CREATE TABLE mlflow.logged_model_params (
    model_id VARCHAR(36) NOT NULL,
    experiment_id INTEGER NOT NULL,
    param_key VARCHAR(255) NOT NULL,
    param_value TEXT NOT NULL,
    CONSTRAINT logged_model_params_pk PRIMARY KEY (model_id, param_key),
    CONSTRAINT fk_logged_model_params_experiment_id FOREIGN KEY (experiment_id)
        REFERENCES experiments (experiment_id),
    CONSTRAINT fk_logged_model_params_model_id FOREIGN KEY (model_id)
        REFERENCES logged_models (model_id) ON DELETE CASCADE
);
CREATE TABLE mlflow.logged_model_tags (
    model_id VARCHAR(36) NOT NULL,
    experiment_id INTEGER NOT NULL,
    tag_key VARCHAR(255) NOT NULL,
    tag_value TEXT NOT NULL,
    CONSTRAINT logged_model_tags_pk PRIMARY KEY (model_id, tag_key),
    CONSTRAINT fk_logged_model_tags_experiment_id FOREIGN KEY (experiment_id)
        REFERENCES experiments (experiment_id),
    CONSTRAINT fk_logged_model_tags_model_id FOREIGN KEY (model_id)
        REFERENCES logged_models (model_id) ON DELETE CASCADE
);
CREATE INDEX mlflow.index_datasets_dataset_uuid ON datasets (dataset_uuid);
CREATE INDEX mlflow.index_datasets_experiment_id_dataset_source_type
    ON datasets (experiment_id, dataset_source_type);
CREATE INDEX mlflow.index_inputs_destination_type_destination_id_source_type
    ON inputs (destination_type, destination_id, source_type);
CREATE INDEX mlflow.index_inputs_input_uuid ON inputs (input_uuid);
CREATE INDEX mlflow.index_latest_metrics_run_uuid ON latest_metrics (run_uuid);
CREATE INDEX mlflow.index_logged_model_metrics_model_id ON logged_model_metrics (model_id);
CREATE INDEX mlflow.index_metrics_run_uuid ON metrics (run_uuid);
CREATE INDEX mlflow.index_params_run_uuid ON params (run_uuid);
CREATE INDEX mlflow.index_tags_run_uuid ON tags (run_uuid);
CREATE INDEX mlflow.index_trace_info_experiment_id_timestamp_ms
    ON trace_info (experiment_id, timestamp_ms);
CREATE INDEX mlflow.index_trace_request_metadata_request_id
    ON trace_request_metadata (request_id);
CREATE INDEX mlflow.index_trace_tags_request_id ON trace_tags (request_id);
";

const ROWS: &str = "
INSERT INTO mlflow.experiments
    SELECT id, name, artifact_location, lifecycle, creation_time, last_update_time
    FROM main.experiments;
INSERT INTO mlflow.experiment_tags
    SELECT key, value, experiment FROM main.experiment_tags;
INSERT INTO mlflow.runs
    SELECT run_id, name, 'UNKNOWN', '', '', user_id, status, start_time, end_time, '', lifecycle,
           artifact_uri, experiment, deleted_time
    FROM main.runs;
INSERT INTO mlflow.latest_metrics
    SELECT k.name, m.value, m.timestamp, m.step, m.is_nan, r.run_id
    FROM main.latest_metrics m JOIN main.metric_keys k ON k.id = m.key
                               JOIN main.runs r ON r.id = m.run;
INSERT INTO mlflow.params
    SELECT p.key, p.value, r.run_id FROM main.params p JOIN main.runs r ON r.id = p.run;
INSERT INTO mlflow.tags
    SELECT t.key, t.value, r.run_id FROM main.tags t JOIN main.runs r ON r.id = t.run;
INSERT INTO mlflow.datasets
    SELECT printf('%032x', id), experiment, name, digest, source_type, source, schema, profile
    FROM main.datasets;
INSERT INTO mlflow.inputs
    SELECT printf('%016x%016x', u.run, u.dataset), 'DATASET', printf('%032x', u.dataset), 'RUN',
           r.run_id, 0
    FROM main.run_datasets u JOIN main.runs r ON r.id = u.run;
INSERT INTO mlflow.input_tags
    SELECT printf('%016x%016x', run, dataset), key, value FROM main.run_dataset_tags;
INSERT INTO mlflow.logged_models
    SELECT model_id, experiment, name, artifact_location, creation_time, last_update_time, status,
           lifecycle, model_type, source_run_id, NULL
    FROM main.logged_models;
-- There not-a-number is kept as nothing.
INSERT INTO mlflow.logged_model_metrics
    SELECT t.model_id, t.key, t.timestamp, t.step, iif(t.is_nan, NULL, t.value), m.experiment,
           t.run_id, iif(d.id IS NULL, NULL, printf('%032x', d.id)), nullif(t.dataset_name, ''),
           nullif(t.dataset_digest, '')
    FROM main.logged_model_metrics t JOIN main.logged_models m ON m.model_id = t.model_id
                                     JOIN main.runs r ON r.run_id = t.run_id
         LEFT JOIN main.datasets d ON d.experiment = r.experiment AND d.name = t.dataset_name
                                  AND d.digest = t.dataset_digest;
INSERT INTO mlflow.logged_model_params
    SELECT t.model_id, m.experiment, t.key, t.value
    FROM main.logged_model_params t JOIN main.logged_models m ON m.model_id = t.model_id;
INSERT INTO mlflow.logged_model_tags
    SELECT t.model_id, m.experiment, t.key, t.value
    FROM main.logged_model_tags t JOIN main.logged_models m ON m.model_id = t.model_id;
INSERT INTO mlflow.inputs
    SELECT lower(hex(randomblob(16))), iif(u.is_output, 'RUN_OUTPUT', 'RUN_INPUT'), r.run_id,
           iif(u.is_output, 'MODEL_OUTPUT', 'MODEL_INPUT'), u.model_id, u.step
    FROM main.run_models u JOIN main.runs r ON r.id = u.run;
INSERT INTO mlflow.registered_models
    SELECT name, creation_time, last_update_time, description FROM main.registered_models;
INSERT INTO mlflow.registered_model_tags
    SELECT t.key, t.value, m.name
    FROM main.registered_model_tags t JOIN main.registered_models m ON m.id = t.model;
INSERT INTO mlflow.registered_model_aliases
    SELECT a.alias, a.version, m.name
    FROM main.model_aliases a JOIN main.registered_models m ON m.id = a.model;
-- A deleted version keeps its number there, too.
INSERT INTO mlflow.model_versions
    SELECT m.name, v.version, v.creation_time, v.last_update_time, v.description, NULL,
           iif(v.is_deleted, 'Deleted_Internal', v.stage), v.source, v.run_id, 'READY', NULL,
           v.run_link, v.storage_location
    FROM main.model_versions v JOIN main.registered_models m ON m.id = v.model;
INSERT INTO mlflow.model_version_tags
    SELECT t.key, t.value, m.name, t.version
    FROM main.model_version_tags t JOIN main.registered_models m ON m.id = t.model;
";
