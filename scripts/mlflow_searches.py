"""Filters and orders that check_mlflow_client.py asks of both servers: what matches,
in which order, or with which error; and URIs that both refuse."""

RUN_FILTERS = [
    # Metrics and times.
    "metrics.`val loss` < 0.3", "metrics.`val loss` != 0.5", "metric.\"val loss\" >= 0.1",
    "metrics.`val loss` = 0.1", "metrics.`val loss` > -1e3 AND metrics.`val loss` <= 5E-1",
    "metrics.none != 1", "start_time > 1001", "attributes.end_time <= 9000", "created < 1002",
    "attributes.Created >= 1002.5", "start_time = 1001", "start_time != 1001",
    # Parameters and tags.
    "params.optimizer = 'adam'", "params.optimizer != 'adam'", "params.optimizer LIKE 'adam%'",
    "params.optimizer ILIKE 'ADAM_'", "params.optimizer ilike 'a%'", "params.optimizer LIKE 'a_am'",
    "parameter.optimizer=\"sgd\"", "parameters.optimizer='it''s'", "param.optimizer = 'a\\'b'",
    "params.optimizer = 'C:\\'", "params.optimizer != ''", "tags.parity = '1'",
    "tags.nothing IS NULL", "tag.parity IS NOT NULL", "params.nothing IS NOT NULL",
    "tags.`a b`  =  'x y'", "tags.\"a b\" LIKE 'x%'", "tags.mlflow.runName = 's1'",
    # Attributes.
    "run_name = 's1'", "attributes.run_name LIKE 's%'", "attr.status = 'FAILED'",
    "`run_name` = 's1'", "\"run_name\" = 's1'", "run.status != 'FAILED'", "status ILIKE 'fin%'",
    "run_id IN ('a', 'b')", "run_id NOT IN ('a')", "run_id NOT IN (\"a\" , 'b',)",
    "attribute.`run name` = 's2'", "user_id = ''", "artifact_uri LIKE 'mlflow-artifacts:/%'",
    # Several, and data sets.
    "params.optimizer = 'adam' AND tags.parity = '0'",
    "params.optimizer = 'adam' and\n tags.parity = '0' And start_time > 0",
    "dataset.name = 'x'", "datasets.context = 'training'", "dataset.digest IN ('d', 'e')",
    "metrics.`val loss` < 0.3;", "", "  ",
    # Quotes around keys, keys with a space, texts side by side.
    "metrics.'val loss' < 0.3", "params.'optimizer' LIKE 'a%'", "tags.'a b' = 'x y'",
    "tags.'a b' IS NULL", "attributes.'run_name' = 's1'", "tags.a b IS NULL",
    "tags.a/b c IS NULL", "tags.parity c IS NOT NULL", "run_id IN ('a' 'b')",
    "run_id NOT IN ('a' \"b\", 'c')",
    # Refused.
    "metrics.`val loss` > 'x'", "params.optimizer = 1", "a OR b", "foo.a = '1'", "foo = 1",
    "metrics.a > 0 OR metrics.b > 0", "run_name IN ('s1')", "metrics.a IS NULL",
    "attributes.Created IS NULL", "params.optimizer = x", "start_time > 'x'", "created = 'x'",
    "run_id IN ()", "run_id IN (1)", "run_id IN ('a', 1)", "run_id NOT IN 'a'",
    "params.optimizer = 'a'; params.optimizer = 'b'", "params.optimizer = 'a';;",
    "tags.parity > '1'", "params.optimizer < 'a'", "metrics.a LIKE 'x'", "run_name == 's1'",
    "run_name <> 's1'", "run_name NOT LIKE 's1'", "start_time LIKE 3",
    "dataset.foo = 'x'", "dataset.name > 'x'", "params.optimizer", "tags.a-b = 'x'",
    "metrics.m/a > 1", "metrics.m/a IS NULL", "Params.optimizer = 'x'", "run_name = s1",
    "user_id = 3", "attribute.x = 'x'", "status IS NULL", "dataset.name = 3", "metric z",
    "params.p = x%y", "params.p = x y", "params.p = 'x'y", "params.p = %y", "params.p = NULL",
    "run_id IN ('it's')", "run_id IN ('a", "run_name = 'a", "run_name = 'it's'", "metrics.m > 0x1",
    "metrics.m > 1 x", "'k' = 'k'", "'tags.k' = '1'", "version = 1", "params.p = version",
    "metrics.m BETWEEN 0 AND 2", "tags.a/b IS NULL", "tags.'k'.x = '1'",
]

RUN_ORDERS = [
    ["metrics.`val loss`"], ["metrics.`val loss` DESC"], ["params.optimizer ASC"],
    ["tags.parity", "start_time DESC"], ["start_time"], ["attributes.end_time DESC"],
    ["run_name desc"], ["metrics.x FOO"], ["foo"], ["status ASC", "run_name"],
    ["metric.\"val loss\" desc", "start_time asc"], ["`metrics.val loss` DESC"],
    ["\"params.optimizer\" ASC"], ["attributes.Created ASC"], ["attributes.`run name`"],
    ["metrics.a ASC, b"], ["start_time", "start_time DESC"], ["dataset.name"], ["tags.none DESC"],
    ["params.optimizer DESC", "metrics.`val loss`", "run_name"], ["user_id", "artifact_uri x y"],
    ["tags.'parity' DESC", "run_name"], ["metrics.'val loss'"], ["metrics.a DESC "],
    ["metrics.a Desc "], [" metrics.a DESC"], ["start_time "], ["'run_name' DESC"],
]

EXPERIMENT_FILTERS = [
    "name LIKE 'bi%'", "name = 'searching'", "name != 'searching'", "attribute.name ILIKE 'S%'",
    "tags.t = '1'", "tag.t != '1'", "tags.t IS NULL", "tags.t IS NOT NULL AND name LIKE '%s%'",
    "tags.`t` LIKE '_'", "creation_time > 0", "last_update_time >= 0 AND creation_time > 0",
    "experiment_id = '1'", "experiment_id != '1'", "experiment_id IN ('1', '0')",
    "experiment_id NOT IN ('1')", "name ILIKE 'BIRDS'",
    # Refused.
    "foo.a = '1'", "foo = '1'", "name LIKE 'a' OR name LIKE 'b'", "name > 'a'", "name = 3",
    "creation_time = 'x'", "creation_time > 1.5", "name IN ('a')", "name IS NULL", "tags.t > '1'",
    "tags.t = 1", "experiment_id = 'x'", "experiment_id LIKE '1'", "name", "attributes.name = 'x'",
    "experiment_id IN ()", "name = 'a'; name = 'b'", "creation_time LIKE '1'",
]

EXPERIMENT_ORDERS = [
    "name", "name DESC", "experiment_id DESC", "creation_time ASC", "foo", "last_update_time DESC",
    "name FOO", "tags.t", "attribute.name", "name ASC, experiment_id", "name ", " name DESC",
]

MODEL_FILTERS = [
    "name = 'birdnet'", "name != 'birdnet'", "name ILIKE 'BIRD%'", "name LIKE 'b%'",
    "name IN ('birdnet', 'x')", "tags.k = 'v'", "tags.k != 'v'", "tag.k LIKE 'v'",
    "tags.none = 'x'", "name LIKE '%' AND tags.k = 'v'", "tags.`k` = 'v'",
    # Refused.
    "name > 'a'", "foo = 'x'", "name = 3", "tags.k > 'v'", "tags.k IS NULL", "name IS NOT NULL",
    "name LIKE 'a' OR name LIKE 'b'", "foo.k = 'v'", "name", "name NOT IN (1)", "tags.k = 1",
]

MODEL_ORDERS = [
    "name", "name DESC", "last_updated_timestamp ASC", "timestamp", "timestamp DESC", "foo",
    "creation_timestamp", "name FOO", "tags.k", "timestamp DESC ", "'name'",
]

VERSION_FILTERS = [
    "name = 'birdnet'", "name LIKE 'b%'", "name ILIKE 'B%'", "run_id = 'x'", "run_id != 'x'",
    "tags.k = 'v'", "tags.k != 'x'", "version_number > 0", "version_number = 1",
    "version_number <= 1 AND name = 'birdnet'", "name IN ('birdnet', 'z')", "run_id IN ('x')",
    "source_path LIKE '%'", "tags.none LIKE '%'",
    # Refused.
    "foo = 'x'", "version_number LIKE '1'", "version_number = '1'", "name > 'x'", "tags.k > 'v'",
    "run_id IN ()", "run_id IN (1)", "source_path IN ('x')", "name = 1", "name IS NULL",
    "name LIKE 'a' OR name LIKE 'b'", "name NOT LIKE 'a'", "tags.'k' = 'v'", "alias='champion'",
    "aliases = 'champion'", "version_number IN (1)", "version_number = 'x'",
    "version_number = 1.5", "name = x%y", "model z", "name = 'a' b",
]

VERSION_ORDERS = [
    "name", "version_number DESC", "creation_timestamp ASC", "last_updated_timestamp", "foo",
    "name ASC, version_number", "run_id", "name DESC ", " name",
]

LOGGED_FILTERS = [
    "name = 'model'", "name LIKE 'm%'", "name ILIKE 'M%'", "name != 'x'", "name IN ('model', 'x')",
    "name NOT IN ('model')", "metrics.after > 0.5", "metrics.after <= 0.5", "metrics.none > 0",
    "params.lr = '0.1'", "params.lr != 'x'", "params.none = 'x'", "tags.`mlflow.none` = 'x'",
    "creation_timestamp > 0", "creation_timestamp_ms > 0", "last_updated_timestamp >= 0",
    "source_run_id = 'x'", "model_type = 'x'", "attributes.name = 'model'", "status = 'READY'",
    "name = 'model' AND metrics.after > 0.5",
    # Refused.
    "foo = 'x'", "foo.a = 'x'", "metrics.after > 'x'", "params.lr = 1", "params.lr > 'x'",
    "name > 'x'", "name", "name = 'a' OR name = 'b'", "metrics.after LIKE 'x'", "tags.a = 3",
    "creation_timestamp > 'x'", "metrics.after IS NULL",
]

LOGGED_ORDERS = [
    {"field_name": "name"}, {"field_name": "creation_timestamp", "ascending": False},
    {"field_name": "metrics.after"}, {"field_name": "metrics.after", "ascending": False},
    {"field_name": "metrics.after", "dataset_name": "clips"},
    {"field_name": "metrics.after", "dataset_name": "other"}, {"field_name": "foo"},
    {"field_name": "params.lr"}, {"field_name": "last_updated_timestamp"},
]

# URIs that make whoever follows them connect to a host that a client chose.
HOSTS = [
    "mlflow-artifacts://127.0.0.1:5699/x", "http://h/x", "HTTPS://h/x", " http://h/x",
    "ht\ttp://h/x", "ftp://h/x", "sftp://h/x", "hdfs://h/x", "viewfs://h/x", "r2://b@h/x",
    "b2://b@h/x", "abfss://c@h/x",
]
