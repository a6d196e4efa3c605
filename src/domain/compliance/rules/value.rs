use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString,
};
use cel::common::value::Val;

use super::super::node::Node;

/// A document as CEL sees it; texts are borrowed. Whole numbers that fit are `int`, others `double`.
pub(super) fn value(node: &Node) -> Box<dyn Val + '_> {
    match node {
        Node::Null => null(),
        Node::Bool(value) => Box::new(CelBool::from(*value)),
        Node::Number(number) => number_of(number),
        Node::Text(value) => text(value),
        Node::List(items) => list(items.iter().map(value).collect()),
        Node::Map(entries) => map(entries
            .iter()
            .map(|(key, node)| (key.as_str(), value(node)))),
    }
}

pub(super) fn null<'a>() -> Box<dyn Val + 'a> {
    Box::new(CelNull)
}

pub(super) fn text(value: &str) -> Box<dyn Val + '_> {
    Box::new(CelString::from(value))
}

pub(super) fn list<'a>(items: Vec<Box<dyn Val + 'a>>) -> Box<dyn Val + 'a> {
    Box::new(CelList::from(items))
}

pub(super) fn map<'a>(
    entries: impl IntoIterator<Item = (&'a str, Box<dyn Val + 'a>)>,
) -> Box<dyn Val + 'a> {
    let mut inner = CelMap::default().into_inner();
    let entries = entries.into_iter();
    inner.extend(entries.map(|(key, value)| (CelMapKey::from(key), value)));
    Box::new(CelMap::from(inner))
}

fn number_of(number: &str) -> Box<dyn Val + '_> {
    if let Ok(whole) = number.parse::<i64>() {
        return Box::new(CelInt::from(whole));
    }
    match number.parse::<f64>() {
        Ok(double) => Box::new(CelDouble::from(double)),
        // Never so: the text was written from a number.
        Err(_) => text(number),
    }
}
