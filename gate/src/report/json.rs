//! Reads JSON while it comes in. serde's derived types alone would hold whole lists in memory, and would
//! take a list for an object.

use std::fmt;
use std::marker::PhantomData;

use rust_decimal::Decimal;
use serde::de::value::MapAccessDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde::{Deserialize, Deserializer};
use serde_json::error::Category;

use super::input::{Buffered, cannot_read};
use super::read::BadReport;

/// Digits behind the point that are kept of a number.
const DECIMALS: u32 = 6;

/// An object that takes in what it needs of its fields as they come.
pub(super) trait Object {
    /// The fields that it reads, each of which may occur once.
    const FIELDS: &'static [&'static str];
    /// Whether other fields are refused, and not just skipped.
    const CLOSED: bool = false;

    /// Reads the value of this field.
    fn field<'de, M: MapAccess<'de>>(
        &mut self,
        name: &'static str,
        map: &mut M,
    ) -> Result<(), M::Error>;
}

/// A list that takes in its elements as they come.
pub(super) trait List {
    /// Reads the next element, when there is one.
    fn element<'de, S: SeqAccess<'de>>(&mut self, seq: &mut S) -> Result<Option<()>, S::Error>;
}

/// Reads the value of a field into this object.
pub(super) struct Into<'a, T>(pub(super) &'a mut T);

/// Reads a list, and says whether there is one: `null` is none.
pub(super) struct Items<L>(pub(super) L);

/// A derived type, from an object only.
#[derive(Default)]
pub(super) struct Strict<T>(pub(super) T);

/// A list whose elements are small enough to be held one at a time.
pub(super) struct Each<T, F>(F, PhantomData<fn(T)>);

/// The report as this object; `what` is the name of the format.
pub(super) fn parse<T: Object>(
    what: &str,
    input: &mut Buffered<'_>,
    into: &mut T,
) -> Result<(), BadReport> {
    let mut json = serde_json::Deserializer::from_reader(input);
    let read = Into(into).deserialize(&mut json).and_then(|()| json.end());
    read.map_err(|error| {
        // serde_json's own words quote what they refuse.
        let place = format!("line {}, column {}", error.line(), error.column());
        match error.classify() {
            Category::Io => cannot_read(&error.into()),
            Category::Eof => BadReport::new(format!("the report ends too early ({place})")),
            Category::Syntax => {
                BadReport::new(format!("the report is not well-formed JSON ({place})"))
            }
            Category::Data => BadReport::new(format!(
                "the report is no {what}: at {place} a field is missing, doubled or of another type"
            )),
        }
    })
}

/// The list's elements, one after the other.
pub(super) fn each<T: DeserializeOwned, F: FnMut(T)>(take: F) -> Items<Each<T, F>> {
    Items(Each(take, PhantomData))
}

/// The number as it travels in a summary.
pub(super) fn rounded(number: Decimal) -> Decimal {
    number.round_dp(DECIMALS).normalize()
}

impl<T: DeserializeOwned, F: FnMut(T)> List for Each<T, F> {
    fn element<'de, S: SeqAccess<'de>>(&mut self, seq: &mut S) -> Result<Option<()>, S::Error> {
        let element = seq.next_element::<Strict<T>>()?;
        Ok(element.map(|Strict(element)| (self.0)(element)))
    }
}

impl<'de, T: Object> DeserializeSeed<'de> for Into<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, T: Object> Visitor<'de> for Into<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        let mut seen = vec![false; T::FIELDS.len()];
        while let Some(field) = map.next_key_seed(Key(T::FIELDS))? {
            match field {
                Some(index) if seen[index] => {
                    return Err(M::Error::duplicate_field(T::FIELDS[index]));
                }
                Some(index) => {
                    seen[index] = true;
                    self.0.field(T::FIELDS[index], &mut map)?;
                }
                None if T::CLOSED => return Err(M::Error::custom("unknown field")),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// Place of a field's name among these.
struct Key(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|field| *field == name))
    }
}

impl<'de, L: List> DeserializeSeed<'de> for Items<L> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, L: List> Visitor<'de> for Items<L> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list or null")
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_seq<S: SeqAccess<'de>>(mut self, mut seq: S) -> Result<bool, S::Error> {
        while self.0.element(&mut seq)?.is_some() {}
        Ok(true)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Strict<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Only<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Only<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<T, M::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_map(Only(PhantomData)).map(Self)
    }
}
