//! Arrays in the server's text form, elements as text; it knows no element type.

use harvest::Value;

use crate::decode::Decoded;

/// Deeper nesting does not exist.
const DIMENSIONS_MAX: usize = 6;

/// Reads `{…}`, with `[1:2]=` bounds in front or not. Elements stay text, NULL is NULL.
pub(crate) fn array(text: &str, delimiter: u8) -> Decoded<Value> {
    let body = match text.strip_prefix('[') {
        Some(_) => text.split_once('=').map_or(text, |(_, body)| body),
        None => text,
    };
    let mut reader = Reader { text: body, at: 0, delimiter };
    let value = reader.list(0)?;
    if reader.at == body.len() { Ok(value) } else { Err("text behind the end of an array".into()) }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    delimiter: u8,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn list(&mut self, depth: usize) -> Decoded<Value> {
        if self.peek() != Some(b'{') || depth >= DIMENSIONS_MAX {
            return Err("an array begins with a brace".into());
        }
        self.at += 1;
        let mut items = Vec::new();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Array(items));
        }
        loop {
            items.push(match self.peek() {
                Some(b'{') => self.list(depth + 1)?,
                Some(b'"') => Value::Text(self.quoted()?),
                _ => self.plain()?,
            });
            let next = self.peek();
            self.at += 1;
            match next {
                Some(b'}') => return Ok(Value::Array(items)),
                Some(byte) if byte == self.delimiter => {}
                _ => return Err("an array that does not end".into()),
            }
        }
    }

    fn quoted(&mut self) -> Decoded<String> {
        self.at += 1;
        let mut out = String::new();
        let mut escaped = false;
        for (offset, letter) in self.text.get(self.at..).unwrap_or_default().char_indices() {
            match letter {
                _ if escaped => {
                    out.push(letter);
                    escaped = false;
                }
                '\\' => escaped = true,
                '"' => {
                    self.at += offset + 1;
                    return Ok(out);
                }
                _ => out.push(letter),
            }
        }
        Err("a quoted element that does not end".into())
    }

    fn plain(&mut self) -> Decoded<Value> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let end = rest.bytes().position(|byte| byte == self.delimiter || byte == b'}');
        let element = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        self.at += element.len();
        if element.eq_ignore_ascii_case("null") {
            return Ok(Value::Null);
        }
        if !element.contains('\\') {
            return Ok(Value::Text(element.to_owned()));
        }
        let mut out = String::with_capacity(element.len());
        let mut letters = element.chars();
        while let Some(letter) = letters.next() {
            out.extend(if letter == '\\' { letters.next() } else { Some(letter) });
        }
        Ok(Value::Text(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(items: &[&str]) -> Value {
        Value::Array(items.iter().map(|item| Value::Text((*item).to_owned())).collect())
    }

    #[test]
    fn reads_what_servers_write() {
        let read = |text| array(text, b',').expect(text);
        assert_eq!(read("{}"), Value::Array(vec![]));
        assert_eq!(read("{a,b}"), texts(&["a", "b"]));
        assert_eq!(read("{\"(1,\\\"x y\\\")\",\"{}\",\"NULL\"}"), texts(&["(1,\"x y\")", "{}", "NULL"]));
        assert_eq!(read("{a,NULL}"), Value::Array(vec![Value::Text("a".into()), Value::Null]));
        assert_eq!(read("[2:3]={a,b}"), texts(&["a", "b"]));
        assert_eq!(read("{{a},{b}}"), Value::Array(vec![texts(&["a"]), texts(&["b"])]));
        assert_eq!(
            array("{(1,1),(0,0);(2,2),(1,1)}", b';').expect("boxes"),
            texts(&["(1,1),(0,0)", "(2,2),(1,1)"])
        );
    }

    #[test]
    fn broken_text_is_an_error() {
        for text in ["", "{", "a", "{a", "{\"a}", "{a}b", "{a,", "[1:2]", "{{{{{{{{a}}}}}}}}"] {
            assert!(array(text, b',').is_err(), "{text}");
        }
    }
}
