//! A very small option reader for the commands; it knows no command's options.

/// The words after a command, taken apart on request.
pub(crate) struct Args {
    words: Vec<String>,
    trailing: Vec<String>,
}

impl Args {
    /// Splits at the first `--`; what follows belongs to the program that the command starts.
    pub(crate) fn new(words: &[String]) -> Self {
        match words.iter().position(|word| word == "--") {
            Some(at) => Self { words: words[..at].to_vec(), trailing: words[at + 1..].to_vec() },
            None => Self { words: words.to_vec(), trailing: Vec::new() },
        }
    }

    /// Takes a switch such as `--offline`; true when it was there.
    pub(crate) fn switch(&mut self, name: &str) -> bool {
        let before = self.words.len();
        self.words.retain(|word| word != name);
        self.words.len() != before
    }

    /// Takes `NAME VALUE` or `NAME=VALUE`.
    pub(crate) fn value(&mut self, name: &str) -> Result<Option<String>, String> {
        let prefix = format!("{name}=");
        if let Some(at) = self.words.iter().position(|word| word.starts_with(&prefix)) {
            return Ok(Some(self.words.remove(at)[prefix.len()..].to_owned()));
        }
        let Some(at) = self.words.iter().position(|word| word == name) else { return Ok(None) };
        if at + 1 >= self.words.len() {
            return Err(format!("`{name}` needs a value"));
        }
        self.words.remove(at);
        Ok(Some(self.words.remove(at)))
    }

    /// Takes a whole number of at least one, or gives the default.
    pub(crate) fn number(&mut self, name: &str, default: u32) -> Result<u32, String> {
        match self.value(name)? {
            None => Ok(default),
            Some(text) => match text.parse::<u32>() {
                Ok(number) if number > 0 => Ok(number),
                _ => Err(format!("`{name}` needs a whole number above 0, not `{text}`")),
            },
        }
    }

    /// Takes the next plain word.
    pub(crate) fn word(&mut self) -> Option<String> {
        let at = self.words.iter().position(|word| !word.starts_with('-'))?;
        Some(self.words.remove(at))
    }

    /// Ends the reading: whatever is left over was misspelt.
    pub(crate) fn finish(self) -> Result<Vec<String>, String> {
        match self.words.first() {
            None => Ok(self.trailing),
            Some(word) => Err(format!("unknown option `{word}`; see `cargo xtask help`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Args;

    fn args(words: &[&str]) -> Args {
        Args::new(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn takes_switches_values_words_and_the_rest() {
        let mut args = args(&["http", "--offline", "--only", "live", "--threads=4", "--", "-E", "x"]);
        assert!(args.switch("--offline"));
        assert!(!args.switch("--offline"));
        assert_eq!(args.value("--only"), Ok(Some("live".to_owned())));
        assert_eq!(args.number("--threads", 1), Ok(4));
        assert_eq!(args.word().as_deref(), Some("http"));
        assert_eq!(args.finish(), Ok(vec!["-E".to_owned(), "x".to_owned()]));
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        assert!(args(&["--ofline"]).finish().is_err());
        assert!(args(&["--only"]).value("--only").is_err());
        assert!(args(&["--threads", "0"]).number("--threads", 1).is_err());
    }
}
