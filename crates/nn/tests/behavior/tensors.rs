//! Weights by name: what they are called, and what is refused.

use super::*;

fn network() -> Network {
    Network::new(&everything(), 3).expect("a valid network")
}

#[track_caller]
fn check(change: impl FnOnce(&mut Vec<NamedTensor>), message: &str) {
    let mut network = network();
    let before = network.tensors();
    let mut tensors = before.clone();
    change(&mut tensors);
    let found = network
        .load_tensors(&tensors)
        .expect_err("an error")
        .to_string();
    assert_eq!(found, message);
    assert_eq!(network.tensors(), before, "unchanged");
}

#[test]
fn have_the_names_and_shapes_of_pytorch() {
    let tensors = network().tensors();
    let find = |name: &str| {
        tensors
            .iter()
            .find(|tensor| tensor.name == name)
            .expect("a tensor")
    };
    assert_eq!(find("layers.0.weight").shape, [20, 2, 3, 3]);
    assert_eq!(find("layers.4.body.0.weight").shape, [20, 1, 3, 3]);
    assert_eq!(find("layers.10.weight").shape, [40, 24]);
    assert!(!find("layers.4.shortcut.1.running_var").trainable);
}

#[test]
fn are_taken_over_in_any_order() {
    let mut other = Network::new(&everything(), 9).expect("a valid network");
    let mut tensors = network().tensors();
    tensors.reverse();
    other
        .load_tensors(&tensors)
        .expect("tensors of the same network");
    assert_eq!(other.tensors(), network().tensors());
}

#[test]
fn that_are_missing_or_too_many_are_named() {
    check(
        |tensors| drop(tensors.pop()),
        "tensor `layers.13.bias` is missing",
    );
    check(
        |tensors| tensors.push(tensors[0].clone()),
        "tensor `layers.0.weight` is given twice",
    );
    let unknown = NamedTensor {
        name: "x".to_owned(),
        ..network().tensors()[0].clone()
    };
    check(
        |tensors| tensors.push(unknown),
        "tensor `x` does not belong to this network",
    );
}

#[test]
fn of_another_shape_are_named() {
    check(
        |tensors| tensors[0].shape = vec![20, 2, 9],
        "tensor `layers.0.weight` has shape [20, 2, 9] with 360 values, expected shape [20, 2, 3, 3]",
    );
    check(
        |tensors| tensors[1].values.truncate(1),
        "tensor `layers.1.weight` has shape [20] with 1 values, expected shape [20]",
    );
}
