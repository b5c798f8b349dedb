//! Which epochs the weights of a finished training are from.

use std::fmt::{self, Display};

use serde::{Deserialize, Serialize};

/// For each network of those that act as one, at least one, the epoch that its weights
/// are from, counted from 1; 0 when it was stopped before an epoch ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeptEpochs(Vec<usize>);

impl KeptEpochs {
    /// That of a single network.
    pub fn one(epoch: usize) -> Self {
        Self(vec![epoch])
    }

    /// One for each network.
    pub fn as_slice(&self) -> &[usize] {
        &self.0
    }

    /// The epoch that all weights are from; none where networks keep different ones.
    pub fn common(&self) -> Option<usize> {
        let (first, others) = self.0.split_first()?;
        others.iter().all(|epoch| epoch == first).then_some(*first)
    }

    /// Whether an epoch ended: without one the weights are as they began.
    pub fn any(&self) -> bool {
        self.0.iter().any(|&epoch| epoch > 0)
    }
}

/// Puts the networks of several into one list.
impl<'a> FromIterator<&'a KeptEpochs> for KeptEpochs {
    fn from_iter<I: IntoIterator<Item = &'a KeptEpochs>>(all: I) -> Self {
        Self(all.into_iter().flat_map(|kept| kept.0.clone()).collect())
    }
}

/// The common epoch, or one for each network: `30`, `9/14/7`.
impl Display for KeptEpochs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.common() {
            Some(epoch) => write!(f, "{epoch}"),
            None => {
                let all: Vec<String> = self.0.iter().map(usize::to_string).collect();
                f.write_str(&all.join("/"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_that_keep_the_same_epoch_are_told_as_one() {
        let kept = |epochs: &[usize]| -> KeptEpochs {
            let each: Vec<KeptEpochs> = epochs.iter().map(|&n| KeptEpochs::one(n)).collect();
            each.iter().collect()
        };
        assert_eq!(kept(&[30, 30]).to_string(), "30");
        assert_eq!(kept(&[9, 14, 7]).to_string(), "9/14/7");
        assert_eq!(kept(&[9, 14]).common(), None);
    }
}
