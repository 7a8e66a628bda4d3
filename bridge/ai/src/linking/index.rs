//! The relations of a run as tokens with weights, and how well each fits the words of a question; it knows no vectors and no joins.

use std::collections::{BTreeMap, HashMap};

use harvest_catalog::{RelationText, name_tokens, singular};

use super::words::likeness;

/// What a word tells by where it stands.
const NAME: f64 = 1.0;
const COMMENT: f64 = 0.8;
const NOTES: f64 = 0.6;
const COLUMN: f64 = 0.45;
const COLUMN_COMMENT: f64 = 0.35;
/// What a second place of the same word adds.
const SECOND: f64 = 0.15;
/// What a name adds all of whose tokens the question holds.
const WHOLE_NAME: f64 = 0.2;
/// Tokens of prefixes that name nothing.
const PREFIXES: &[&str] = &["tbl", "tb", "t", "dim", "fct", "fact", "vw", "v", "mv"];

/// One relation.
pub(super) struct Entry {
    pub(super) text: RelationText,
    /// Per token the weights of its best and second place.
    tokens: HashMap<usize, (f64, f64)>,
    name: Vec<usize>,
}

impl Entry {
    /// What an embedder reads.
    pub(super) fn words(&self) -> String {
        let mut out =
            format!("{} {} {}", name_tokens(&self.text.name).join(" "), self.text.comment, self.text.notes);
        for (column, comment) in &self.text.columns {
            out.push(' ');
            out.push_str(&name_tokens(column).join(" "));
            out.push(' ');
            out.push_str(comment);
        }
        out
    }
}

/// All relations that a question may mean; partitions are their table.
pub(super) struct Index {
    pub(super) entries: Vec<Entry>,
    vocabulary: HashMap<String, usize>,
}

/// How the words of a question fit one schema.
pub(super) struct Fit {
    /// Per entry, 0 to about 1.
    pub(super) scores: Vec<f64>,
    /// Per word the entries that hold it.
    pub(super) holders: Vec<Vec<usize>>,
}

impl Index {
    pub(super) fn new(texts: Vec<RelationText>, question: &str) -> Self {
        let asked = question.to_lowercase();
        // Who names one partition means it.
        let is_meant =
            |text: &RelationText| text.partition_of.is_none() || asked.contains(&text.name.to_lowercase());
        let mut index = Self { entries: Vec::new(), vocabulary: HashMap::new() };
        for text in texts.into_iter().filter(is_meant) {
            index.add(text);
        }
        index
    }

    fn add(&mut self, text: RelationText) {
        let mut tokens: HashMap<usize, (f64, f64)> = HashMap::new();
        let mut name = Vec::new();
        let whole: String = text.name.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect();
        let mut name_words = tokens_of(&text.name);
        if name_words.len() > 1 && PREFIXES.contains(&name_words[0].as_str()) {
            name_words.remove(0);
        }
        for token in name_words {
            name.push(self.put(token, NAME, &mut tokens));
        }
        self.put(whole, NAME, &mut tokens);
        for token in tokens_of(&text.comment) {
            self.put(token, COMMENT, &mut tokens);
        }
        for token in tokens_of(&text.notes) {
            self.put(token, NOTES, &mut tokens);
        }
        for (column, comment) in &text.columns {
            for token in tokens_of(column) {
                self.put(token, COLUMN, &mut tokens);
            }
            for token in tokens_of(comment) {
                self.put(token, COLUMN_COMMENT, &mut tokens);
            }
        }
        self.entries.push(Entry { text, tokens, name });
    }

    fn put(&mut self, token: String, weight: f64, tokens: &mut HashMap<usize, (f64, f64)>) -> usize {
        let next = self.vocabulary.len();
        let id = *self.vocabulary.entry(token).or_insert(next);
        let places = tokens.entry(id).or_insert((0.0, 0.0));
        if weight > places.0 {
            *places = (weight, places.0);
        } else if weight < places.0 {
            places.1 = places.1.max(weight);
        }
        id
    }

    /// Scores every entry; a word that few entries hold tells more of them.
    #[expect(clippy::cast_precision_loss, reason = "thousands of relations at most")]
    pub(super) fn fit(&self, words: &[String]) -> Fit {
        let mut scores = vec![0.0; self.entries.len()];
        let mut holders = Vec::new();
        let mut sum = 0.0;
        let mut named: Vec<BTreeMap<usize, f64>> = vec![BTreeMap::new(); self.entries.len()];
        for word in words {
            let alike: HashMap<usize, f64> = self
                .vocabulary
                .iter()
                .map(|(token, id)| (*id, likeness(word, token)))
                .filter(|(_, likeness)| *likeness > 0.0)
                .collect();
            let found: Vec<(usize, f64)> = self
                .entries
                .iter()
                .enumerate()
                .map(|(at, entry)| (at, held(entry, &alike)))
                .filter(|(_, strength)| *strength > 0.0)
                .collect();
            if found.is_empty() {
                holders.push(Vec::new());
                continue;
            }
            let (all, have) = (self.entries.len() as f64, found.len() as f64);
            let tells = (1.0 + (all - have + 0.5) / (have + 0.5)).ln();
            sum += tells;
            for (at, strength) in &found {
                scores[*at] += tells * strength;
                for id in &self.entries[*at].name {
                    let likeness = alike.get(id).copied().unwrap_or(0.0);
                    let best = named[*at].entry(*id).or_default();
                    *best = best.max(likeness);
                }
            }
            holders.push(found.into_iter().map(|(at, _)| at).collect());
        }
        for (at, score) in scores.iter_mut().enumerate() {
            let entry = &self.entries[at];
            let whole = named[at].values().sum::<f64>() / entry.name.len().max(1) as f64;
            *score = if sum > 0.0 { *score / sum + WHOLE_NAME * whole } else { 0.0 };
        }
        Fit { scores, holders }
    }
}

/// How strongly an entry holds a word: its best place, and a little for another one.
fn held(entry: &Entry, alike: &HashMap<usize, f64>) -> f64 {
    let mut best: f64 = 0.0;
    let mut second: f64 = 0.0;
    for (id, likeness) in alike {
        let Some((first, other)) = entry.tokens.get(id) else { continue };
        let value = first * likeness;
        if value > best {
            second = second.max(best);
            best = value;
        } else {
            second = second.max(value);
        }
        second = second.max(other * likeness);
    }
    best + SECOND * second
}

fn tokens_of(text: &str) -> Vec<String> {
    name_tokens(text).iter().map(|token| singular(token)).collect()
}
