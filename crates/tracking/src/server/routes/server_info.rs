//! What the server says about itself.

use serde_json::json;

use crate::error::Result;
use crate::server::Service;
use crate::server::params::Params;
use crate::server::reply::{Body, body};

/// MLflow's client asks this before it uses anything but the classic routes; ours, which
/// store it is that it speaks to.
pub(super) fn get(service: &Service, _: &Params) -> Result<Body> {
    body(&json!({
        "store_id": service.store.identity()?,
        "store_type": "SqlStore",
        "workspaces_enabled": false,
        "trace_archival_enabled": false,
        "multipart_uploads_enabled": true,
        "multipart_downloads_enabled": false,
        "presigned_upload_run_id_supported": false,
        "presigned_upload_model_id_supported": false,
        "features_enabled": { "gateway": false },
    }))
}
