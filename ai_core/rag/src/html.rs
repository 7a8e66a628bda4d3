//! Text of HTML documents; a reader of markup, not a browser: no styles, no scripts, no entities beyond the common ones.

/// Elements whose content is not text.
const SILENT: &[&str] = &["template", "noscript", "svg", "head"];

/// Elements that end a line.
const BLOCKS: &[&str] = &[
    "p",
    "div",
    "br",
    "li",
    "ul",
    "ol",
    "tr",
    "table",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "section",
    "article",
    "pre",
    "blockquote",
    "hr",
    "dt",
    "dd",
    "header",
    "footer",
    "nav",
    "main",
    "figure",
    "td",
    "th",
];

/// The title (empty when there is none) and the visible text.
pub(crate) fn text(html: &str) -> (String, String) {
    let mut title = String::new();
    let mut out = String::with_capacity(html.len() / 2);
    let mut rest = html;
    let mut silent: Option<&str> = None;
    let mut in_title = false;
    while let Some(at) = rest.find('<') {
        let (before, tail) = rest.split_at(at);
        if in_title {
            title.push_str(before);
        } else if silent.is_none() {
            out.push_str(before);
        }
        if let Some(comment) = tail.strip_prefix("<!--") {
            rest = comment.find("-->").map_or("", |end| &comment[end + 3..]);
            continue;
        }
        let name_start = tail[1..].strip_prefix('/').map_or(1, |_| 2);
        let closing = name_start == 2;
        let name: String = tail[name_start..]
            .chars()
            .take_while(char::is_ascii_alphanumeric)
            .collect::<String>()
            .to_ascii_lowercase();
        if name.is_empty() && !tail[1..].starts_with(['!', '?', '/']) {
            // A lone "<" is text.
            if silent.is_none() {
                out.push('<');
            }
            rest = &tail[1..];
            continue;
        }
        let Some(end) = tag_end(tail) else { break };
        rest = &tail[end..];
        if !closing && matches!(name.as_str(), "script" | "style") {
            // Their content is no markup: skip to their end.
            let end = rest.to_ascii_lowercase().find(&format!("</{name}"));
            rest = end.map_or("", |at| &rest[at..]);
            continue;
        }
        if name == "title" {
            in_title = !closing && title.is_empty();
        } else if let Some(found) = SILENT.iter().find(|s| **s == name) {
            match silent {
                None if !closing && !tail[..end].ends_with("/>") => silent = Some(found),
                Some(open) if closing && open == *found => silent = None,
                _ => {}
            }
        } else if silent.is_none() && BLOCKS.contains(&name.as_str()) {
            out.push('\n');
        }
        // Documents often leave the head open.
        if name == "body" && silent == Some("head") {
            silent = None;
        }
    }
    if silent.is_none() && !rest.starts_with('<') {
        out.push_str(rest);
    }
    (entities(&title).split_whitespace().collect::<Vec<_>>().join(" "), tidy(&entities(&out)))
}

/// The byte after the `>` that ends a tag; quoted attributes may hold one.
fn tag_end(tag: &str) -> Option<usize> {
    let mut quote = None;
    for (i, b) in tag.bytes().enumerate() {
        match (quote, b) {
            (None, b'>') => return Some(i + 1),
            (None, b'"' | b'\'') => quote = Some(b),
            (Some(q), b) if q == b => quote = None,
            _ => {}
        }
    }
    // An unclosed quote would swallow the rest of the document.
    tag.find('>').map(|i| i + 1)
}

fn entities(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.bytes().take(12).position(|b| b == b';');
        match end.and_then(|e| entity(&rest[1..e]).map(|c| (e, c))) {
            Some((end, c)) => {
                out.push(c);
                rest = &rest[end + 1..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

fn entity(name: &str) -> Option<char> {
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => ' ',
        "ndash" => '–',
        "mdash" => '—',
        "hellip" => '…',
        "copy" => '©',
        "lsquo" => '‘',
        "rsquo" => '’',
        "ldquo" => '“',
        "rdquo" => '”',
        _ => {
            let digits = name.strip_prefix('#')?;
            let code = match digits.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => digits.parse().ok()?,
            };
            char::from_u32(code).filter(|c| *c != '\0')?
        }
    })
}

/// One space between words, one empty line at most between lines.
fn tidy(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        if line.is_empty() && (out.is_empty() || out.ends_with("\n\n")) {
            continue;
        }
        out.push_str(&line);
        out.push('\n');
    }
    out.truncate(out.trim_end().len());
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn markup_goes_and_text_stays() {
        let page = "<html><head><title>A &amp; B</title><style>p > a {}</style></head><body><p class=\"x>y\">one\n two</p>\
                    <script>if (a<b) {}</script><!-- <p>no</p> --><p>3 < 4 &#233;&unknown;</p></body></html>";
        assert_eq!(text(page), ("A & B".to_owned(), "one\ntwo\n\n3 < 4 é&unknown;".to_owned()));
    }

    #[test]
    fn entity_at_a_wide_character_does_not_panic() {
        assert_eq!(text("&aaaaaaaaaa語;").1, "&aaaaaaaaaa語;");
    }

    proptest! {
        #[test]
        fn nothing_panics(page in "(\\PC|<|>|&|;|\"|</?[a-z]{1,6}>|<!--|-->){0,60}") {
            let _ = text(&page);
        }
    }
}
