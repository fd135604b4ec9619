//! What is wrong with a scenario: one clear message with the place, what was found, what is needed and how to fix it.

use std::fmt;
use std::ops::{Deref, Range};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One thing that is wrong with a scenario file. Boxed, for it travels through many results that are nearly always fine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioProblem(Box<Details>);

/// The parts of a [`ScenarioProblem`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// The file as the user named it.
    pub file: String,
    /// Line, counted from 1; 0 when the problem has no place in the text.
    pub line: usize,
    /// Column in characters, counted from 1; 0 when the problem has no place in the text.
    pub column: usize,
    /// The text of that line.
    pub text: String,
    /// The key, as a dotted path; empty when it is the file as a whole.
    pub key: String,
    /// What stands there.
    pub found: String,
    /// What has to stand there.
    pub needed: String,
    /// What to do about it.
    pub fix: String,
}

impl Deref for ScenarioProblem {
    type Target = Details;

    fn deref(&self) -> &Details {
        &self.0
    }
}

impl fmt::Display for ScenarioProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = if self.key.is_empty() { "the scenario" } else { &self.key };
        if self.line == 0 {
            writeln!(f, "{}: {key}", self.file)?;
        } else {
            writeln!(f, "{}:{}:{}: {key}", self.file, self.line, self.column)?;
            writeln!(f, "  {:>4} | {}", self.line, self.text.trim_end())?;
        }
        writeln!(f, "  found:  {}", self.found)?;
        writeln!(f, "  needed: {}", self.needed)?;
        write!(f, "  fix:    {}", self.fix)
    }
}

impl std::error::Error for ScenarioProblem {}

/// The line, counted from 1, on which a dotted key such as `thresholds.accepted_min` of a scenario's text stands, or the nearest
/// table above it when the key is absent; `None` when there is no such table either.
#[must_use]
pub fn line_of(text: &str, key: &str) -> Option<usize> {
    let start = Places::new("", text).span_of(key)?.start;
    Some(text.get(..start)?.matches('\n').count() + 1)
}

/// Knows where each key of a scenario text stands.
pub(super) struct Places<'a> {
    file: &'a str,
    text: &'a str,
    root: Option<Spanned<DeTable<'a>>>,
}

impl<'a> Places<'a> {
    pub(super) fn new(file: &'a str, text: &'a str) -> Self {
        Self { file, text, root: DeTable::parse(text).ok() }
    }

    /// A problem at a dotted key such as `audience.phones[1].share`; at the nearest table above it when the key is absent.
    pub(super) fn problem(
        &self,
        key: &str,
        found: impl Into<String>,
        needed: impl Into<String>,
        fix: impl Into<String>,
    ) -> ScenarioProblem {
        self.at(self.span_of(key), key, found.into(), needed.into(), fix.into())
    }

    /// A problem that the TOML reader found, with the nearest known word where one was mistyped.
    pub(super) fn of_reader(&self, error: &toml::de::Error) -> ScenarioProblem {
        let span = error.span();
        let key = span.clone().map(|span| self.key_at(&span)).unwrap_or_default();
        let message = error.message().trim();
        if let Some((found, known)) = unknown_word(message) {
            let needed = if known.is_empty() { "nothing here".into() } else { format!("one of {}", listed(&known)) };
            let fix = nearest(&found, &known).map_or_else(
                || format!("remove `{found}`, or see the comments in scenarios/show.toml for what each key means"),
                |near| format!("did you mean `{near}`?"),
            );
            return self.at(span, &key, format!("`{found}`, which voteburst does not know"), needed, fix);
        }
        if let Some(missing) = message.strip_prefix("missing field ") {
            let missing = missing.trim_matches('`');
            let key = if key.is_empty() { missing.to_owned() } else { format!("{key}.{missing}") };
            return self.at(
                span,
                &key,
                "nothing".into(),
                format!("the key `{missing}`"),
                format!("add `{missing} = …`; scenarios/show.toml shows every key with a comment"),
            );
        }
        let (found, needed) = message.split_once(", expected ").unwrap_or((message, "valid TOML 1.0"));
        self.at(
            span,
            &key,
            found.strip_prefix("invalid type: ").unwrap_or(found).into(),
            plain_type(needed),
            "correct this line; scenarios/show.toml shows every key with a comment".into(),
        )
    }

    fn at(&self, span: Option<Range<usize>>, key: &str, found: String, needed: String, fix: String) -> ScenarioProblem {
        let (line, column, text) = span.map_or((0, 0, String::new()), |span| {
            // A span from the reader begins at a character; the end of the text stands in for anything else.
            let before = self.text.get(..span.start).unwrap_or(self.text);
            let start = before.rfind('\n').map_or(0, |newline| newline + 1);
            let line = self.text[start..].lines().next().unwrap_or_default().to_owned();
            (before.matches('\n').count() + 1, before[start..].chars().count() + 1, line)
        });
        ScenarioProblem(Box::new(Details { file: self.file.into(), line, column, text, key: key.into(), found, needed, fix }))
    }

    fn span_of(&self, key: &str) -> Option<Range<usize>> {
        let mut table = self.root.as_ref()?.get_ref();
        let mut span = None;
        for part in key.split('.') {
            let (name, indexes) = part.split_once('[').map_or((part, ""), |(name, rest)| (name, rest));
            let Some((found, value)) = table.iter().find(|(known, _)| known.get_ref() == name) else { return span };
            span = Some(found.span());
            let mut value = value;
            for index in indexes.split(['[', ']']).filter_map(|index| index.parse::<usize>().ok()) {
                let DeValue::Array(array) = value.get_ref() else { return span };
                let Some(item) = array.get(index) else { return span };
                span = Some(item.span());
                value = item;
            }
            match value.get_ref() {
                DeValue::Table(inner) => table = inner,
                _ => return span,
            }
        }
        span
    }

    /// The dotted key whose key or value covers this span.
    fn key_at(&self, span: &Range<usize>) -> String {
        fn within(outer: &Range<usize>, inner: &Range<usize>) -> bool {
            outer.start <= inner.start && inner.end <= outer.end
        }
        fn search(value: &DeValue<'_>, span: &Range<usize>, path: &str) -> Option<String> {
            match value {
                DeValue::Table(table) => search_table(table, span, path),
                DeValue::Array(items) => items.iter().enumerate().find_map(|(index, item)| {
                    let here = format!("{path}[{index}]");
                    search(item.get_ref(), span, &here).or_else(|| within(&item.span(), span).then_some(here))
                }),
                _ => None,
            }
        }
        fn search_table(table: &DeTable<'_>, span: &Range<usize>, path: &str) -> Option<String> {
            table.iter().find_map(|(key, value)| {
                let name = key.get_ref();
                let here = if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
                search(value.get_ref(), span, &here)
                    .or_else(|| (within(&key.span(), span) || within(&value.span(), span)).then_some(here))
            })
        }
        self.root.as_ref().and_then(|root| search_table(root.get_ref(), span, "")).unwrap_or_default()
    }
}

/// The offending word and the known ones, out of serde's messages on unknown fields and variants.
fn unknown_word(message: &str) -> Option<(String, Vec<String>)> {
    let rest = message.strip_prefix("unknown field ").or_else(|| message.strip_prefix("unknown variant "))?;
    let mut words = rest.split('`').skip(1).step_by(2).map(str::to_owned);
    Some((words.next()?, words.collect()))
}

fn listed(words: &[String]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// The known word that is most like a mistyped one, if any is alike at all: two letters off, or with much of it in common.
pub(crate) fn nearest<'a>(found: &str, known: impl IntoIterator<Item = &'a (impl AsRef<str> + 'a)>) -> Option<&'a str> {
    known
        .into_iter()
        .map(AsRef::as_ref)
        .map(|word: &str| (strsim::damerau_levenshtein(found, word), strsim::jaro_winkler(found, word), word))
        .filter(|(letters, likeness, word)| *letters <= word.len().min(4) / 2 || *likeness > 0.8)
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(.., word)| word)
}

/// What serde calls a type, as a writer of TOML calls it.
fn plain_type(expected: &str) -> String {
    match expected {
        "i64" | "u64" | "i32" | "u32" | "u16" => "a whole number".into(),
        "f64" => "a number".into(),
        "a string" => "text in quotes".into(),
        "a sequence" => "a list in brackets".into(),
        "a map" => "a table".into(),
        struct_name if struct_name.starts_with("struct ") => "a table".into(),
        other => other.into(),
    }
}
