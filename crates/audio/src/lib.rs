//! Sound in, log-mel out.
