//! Networks, training and prediction.
