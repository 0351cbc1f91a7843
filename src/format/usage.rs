//! Uses: that a run, or the model it made, came from a version (docs/format.md §12).

use std::collections::BTreeMap;

use crate::base::id::hex_fmt;
use crate::base::{DatasetName, Error, Id, Result, Time};

use super::attrs::{Attrs, Value};
use super::codec::{Put, Reader};
use super::header::{HEADER_LEN, ObjectKind, check_header, header};

/// No use is longer.
pub const MAX_BYTES: usize = HEADER_LEN + MAX_ATTRS + HASH;
/// Longest name of a run, a model and the like, in bytes.
pub const MAX_TEXT: usize = 1024;
/// The longest key of metadata: it is stored behind a prefix.
pub const MAX_META_KEY: usize = 255 - META.len();

const MAX_ATTRS: usize = 64 << 10;
const HASH: usize = 32;
const META: &str = "meta.";
const PROVENANCE: &str = "from.";

/// A run that read a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    pub version: Id,
    /// The dataset by which the version was asked for.
    pub dataset: DatasetName,
    /// The path in the version, where not all of it was asked for.
    pub path: Option<String>,
    /// What the run is called by whoever runs it.
    pub run: String,
    /// The model that came of it.
    pub model: Option<String>,
    /// Who runs it, where that was found in the environment: `slurm`, `gitlab`.
    pub system: Option<String>,
    /// Where the run can be looked at.
    pub url: Option<String>,
    pub actor: String,
    pub time: Time,
    pub meta: Attrs,
    /// Host, user, tool and the like.
    pub provenance: Attrs,
    /// What a newer dagset wrote beside.
    pub more: Attrs,
}

/// What the name of a use tells of it without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UseKey {
    run: [u8; 16],
    /// Zeros without a model.
    model: [u8; 8],
    rest: [u8; 8],
}

impl Use {
    /// Its object: `uses/<version>/<key>`. Whoever records the same again finds it there.
    pub fn object_name(&self) -> String {
        format!("{}/{}/{}", ObjectKind::Use.folder(), self.version, self.key())
    }

    /// What tells this use from others of its version: all that was said, and not who said it when.
    pub fn key(&self) -> UseKey {
        let said = [&self.path, &self.system, &self.url].map(|text| text.as_deref().unwrap_or_default());
        let mut rest = Vec::new();
        rest.put_string(self.dataset.as_str());
        said.iter().for_each(|text| rest.put_string(text));
        self.meta.put(&mut rest);
        UseKey {
            run: first(&Id::of(self.run.as_bytes())),
            model: model_key(self.model.as_deref()),
            rest: first(&Id::of(&rest)),
        }
    }

    /// The bytes of the object. Texts that are empty or over [`MAX_TEXT`], and more than fits, are usage errors.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let texts = [("run", Some(&self.run)), ("model", self.model.as_ref()), ("url", self.url.as_ref())];
        for (what, text) in texts {
            if text.is_some_and(|text| text.is_empty() || text.len() > MAX_TEXT) {
                return Err(Error::usage(format!("the {what} of a use is a text of 1 to {MAX_TEXT} bytes")));
            }
        }
        if let Some(key) = self.meta.0.keys().find(|key| key.len() > MAX_META_KEY) {
            return Err(Error::usage(format!("a key of metadata has at most {MAX_META_KEY} bytes: {key:?}")));
        }
        let attrs = self.attrs();
        let mut out = header(ObjectKind::Use).to_vec();
        attrs.put(&mut out);
        if !attrs.fits() || out.len() > HEADER_LEN + MAX_ATTRS {
            return Err(Error::usage(format!("what is to be recorded is longer than {MAX_ATTRS} bytes")));
        }
        let hash = Id::of(&out);
        out.put_id(&hash);
        Ok(out)
    }

    fn attrs(&self) -> Attrs {
        let mut attrs = self.more.clone();
        let mut put = |key: &str, value| drop(attrs.0.insert(key.to_owned(), value));
        let text = |text: &str| Value::Text(text.to_owned());
        put("actor", text(&self.actor));
        put("dataset", text(self.dataset.as_str()));
        put("run", text(&self.run));
        put("time", Value::Int(self.time.0));
        put("version", text(&self.version.to_string()));
        let optional = [("model", &self.model), ("path", &self.path), ("system", &self.system), ("url", &self.url)];
        optional.into_iter().for_each(|(key, value)| value.iter().for_each(|value| put(key, text(value))));
        for (prefix, inner) in [(META, &self.meta), (PROVENANCE, &self.provenance)] {
            inner.0.iter().for_each(|(key, value)| put(&format!("{prefix}{key}"), value.clone()));
        }
        attrs
    }

    /// Parses an object.
    pub fn parse(bytes: &[u8]) -> Result<Use> {
        check_header(bytes, ObjectKind::Use)?;
        let mut reader = Reader::new("use", bytes);
        if bytes.len() > MAX_BYTES {
            return Err(reader.fault("it is too long"));
        }
        reader.slice(HEADER_LEN)?;
        let mut attrs = Attrs::read(&mut reader)?;
        let hash = Id::of(reader.taken());
        if reader.id()? != hash {
            return Err(reader.fault("its hash is another"));
        }
        reader.end()?;
        let mut text = |key: &str| match attrs.0.remove(key) {
            Some(Value::Text(text)) if !text.is_empty() => Ok(Some(text)),
            None => Ok(None),
            Some(_) => Err(reader.fault(format_args!("its {key} is no text"))),
        };
        let [model, path, system, url] = [text("model")?, text("path")?, text("system")?, text("url")?];
        let mut needed = |key: &str| text(key)?.ok_or_else(|| reader.fault(format_args!("it has no {key}")));
        let [actor, dataset, run, version] = [needed("actor")?, needed("dataset")?, needed("run")?, needed("version")?];
        let Some(Value::Int(time)) = attrs.0.remove("time") else { return Err(reader.fault("it has no time")) };
        Ok(Use {
            version: Id::from_hex(&version).ok_or_else(|| reader.fault("its version is no id"))?,
            dataset: DatasetName::new(&dataset).map_err(|_| reader.fault("its dataset is no name"))?,
            path,
            run,
            model,
            system,
            url,
            actor,
            time: Time(time),
            meta: split_off(&mut attrs.0, META),
            provenance: split_off(&mut attrs.0, PROVENANCE),
            more: attrs,
        })
    }
}

/// Takes what has this prefix out of a map, without it.
fn split_off(map: &mut BTreeMap<String, Value>, prefix: &str) -> Attrs {
    let keys: Vec<String> = map.keys().filter(|key| key.len() > prefix.len()).cloned().collect();
    let taken = keys.into_iter().filter_map(|key| {
        let rest = key.strip_prefix(prefix)?.to_owned();
        Some((rest, map.remove(&key)?))
    });
    taken.collect()
}

impl UseKey {
    /// Parses the last component of an object's name.
    pub fn parse(name: &str) -> Option<UseKey> {
        let mut key = UseKey { run: [0; 16], model: [0; 8], rest: [0; 8] };
        let mut parts = name.split('-');
        let mut fill = |bytes: &mut [u8]| crate::base::id::hex_decode(parts.next()?, bytes).then_some(());
        fill(&mut key.run)?;
        fill(&mut key.model)?;
        fill(&mut key.rest)?;
        parts.next().is_none().then_some(key)
    }

    /// Whether the use may be one of this run and this model; who reads it knows.
    pub fn may_be(&self, run: Option<&str>, model: Option<&str>) -> bool {
        run.is_none_or(|run| self.run == first(&Id::of(run.as_bytes())))
            && model.is_none_or(|model| self.model == model_key(Some(model)))
    }
}

impl std::fmt::Display for UseKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        hex_fmt(&self.run, f)?;
        f.write_str("-")?;
        hex_fmt(&self.model, f)?;
        f.write_str("-")?;
        hex_fmt(&self.rest, f)
    }
}

fn model_key(model: Option<&str>) -> [u8; 8] {
    model.map(|model| first(&Id::of(model.as_bytes()))).unwrap_or_default()
}

fn first<const N: usize>(id: &Id) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&id.0[..N]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::attrs::tests::any_attrs;
    use proptest::prelude::*;

    fn a_use() -> Use {
        Use {
            version: Id::of(b"v"),
            dataset: DatasetName::new("vision/signs").expect("a good name"),
            path: None,
            run: "run-7".to_owned(),
            model: None,
            system: None,
            url: None,
            actor: "ann".to_owned(),
            time: Time(5),
            meta: Attrs::default(),
            provenance: Attrs::default(),
            more: Attrs::default(),
        }
    }

    proptest! {
        #[test]
        fn uses_round_trip(run in ".{1,40}", model in proptest::option::of(".{1,9}"), meta in any_attrs(), provenance in any_attrs()) {
            let used = Use { run, model, meta, provenance, ..a_use() };
            let bytes = used.encode().expect("within the limits");
            prop_assert_eq!(Use::parse(&bytes).expect("own bytes"), used);
        }
    }

    #[test]
    fn what_a_newer_dagset_wrote_is_kept() {
        let more: Attrs = [("cost".to_owned(), Value::Int(3)), ("meta.".to_owned(), Value::Null)].into_iter().collect();
        let used = Use { more, ..a_use() };
        assert_eq!(Use::parse(&used.encode().expect("fits")).expect("own bytes"), used);
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let good = a_use().encode().expect("fits");
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Use::parse(&bad).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn the_limits_hold() {
        let long = |bytes: usize| "x".repeat(bytes);
        assert!(Use { run: long(MAX_TEXT), ..a_use() }.encode().is_ok());
        assert!(Use { run: long(MAX_TEXT + 1), ..a_use() }.encode().is_err());
        assert!(Use { run: String::new(), ..a_use() }.encode().is_err());
        assert!(Use { model: Some(String::new()), ..a_use() }.encode().is_err());
        let meta = |key: usize, value: usize| [(long(key), Value::Text(long(value)))].into_iter().collect();
        assert!(Use { meta: meta(MAX_META_KEY, 5), ..a_use() }.encode().is_ok());
        assert!(Use { meta: meta(MAX_META_KEY + 1, 5), ..a_use() }.encode().is_err());
        assert!(Use { meta: meta(5, MAX_ATTRS), ..a_use() }.encode().is_err());
    }

    #[test]
    fn a_name_tells_run_and_model_and_not_when_or_who() {
        let used = a_use();
        let key = UseKey::parse(&used.key().to_string()).expect("own text");
        assert_eq!(key, used.key());
        assert!(key.may_be(Some("run-7"), None) && !key.may_be(Some("run-8"), None) && !key.may_be(None, Some("m")));
        assert_eq!(Use { time: Time(9), actor: "bob".to_owned(), ..a_use() }.key(), key, "the same again");
        let others = [
            Use { run: "run-8".to_owned(), ..a_use() },
            Use { model: Some("m".to_owned()), ..a_use() },
            Use { path: Some("train".to_owned()), ..a_use() },
            Use { meta: [("lr".to_owned(), Value::Float(0.1))].into_iter().collect(), ..a_use() },
        ];
        others.iter().for_each(|other| assert_ne!(other.key(), key, "{other:?}"));
        for bad in ["", "x", "00-11-22", &format!("{key}-00")] {
            assert_eq!(UseKey::parse(bad), None, "{bad}");
        }
    }
}
