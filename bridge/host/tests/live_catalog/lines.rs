//! What a catalog says of a schema, as lines of several kinds that an independent reader can say too; it asks no server.

use std::collections::{BTreeMap, BTreeSet};

use bridge_host::Host;
use harvest_catalog::{DocumentParts, ListObjectsRequest, ObjectDocument, ObjectRef};

/// Lines by kind: `object`, `column`, `parameter`, `index`, `foreign key`, `constraint`, `reads`, `partition`.
pub(crate) type Lines = BTreeMap<&'static str, BTreeSet<String>>;

/// Everything of one schema.
pub(crate) struct Catalogued {
    pub(crate) lines: Lines,
    /// Definitions by kind and name.
    pub(crate) definitions: BTreeMap<(String, String), String>,
}

pub(crate) fn of_schema(host: &Host, run_id: i64, schema: &str) -> Catalogued {
    let mut request = ListObjectsRequest::new(run_id, "t");
    request.schema_name = Some(schema.to_owned());
    request.limit = 200_000;
    let list = host.catalog().list_objects(&request).expect("objects").results;
    let mut out = Catalogued { lines: Lines::new(), definitions: BTreeMap::new() };
    let parts = DocumentParts { definition: true, profiles: false, relationships: true, llm: false };
    for item in list {
        let doc = host
            .catalog()
            .get_object("t", run_id, &ObjectRef::id(item.object_id), parts)
            .expect("a listed object");
        object(&doc, &mut out.lines);
        if let Some(definition) = doc.definition_sql.clone().flatten() {
            out.definitions
                .insert((doc.object.object_type.clone(), doc.object.object_name.clone()), definition);
        }
        let (name, kind) = (&doc.object.object_name, doc.object.object_type.as_str());
        if matches!(kind, "view" | "materialized_view") {
            let view = host.catalog().describe_view(run_id, schema, name).expect("a view");
            for read in view.depends_on {
                add(&mut out.lines, "reads", format!("{name} reads {}.{}", read.schema, read.name));
            }
        }
        if kind == "table" {
            let table = host.catalog().describe_table(run_id, schema, name).expect("a table");
            if let Some(sentence) = table.partitioning {
                let quoted = sentence.replace('`', "\"");
                add(&mut out.lines, "partition", format!("{name} {quoted}"));
            }
        }
    }
    out
}

fn add(lines: &mut Lines, kind: &'static str, line: String) {
    assert!(lines.entry(kind).or_default().insert(line.clone()), "{kind} comes twice: {line}");
}

fn object(doc: &ObjectDocument, lines: &mut Lines) {
    let o = &doc.object;
    let name = &o.object_name;
    let comment = o.comment.as_deref().unwrap_or_default();
    add(lines, "object", format!("{}/{} {name}({}) {comment}", o.object_type, o.object_subtype, o.signature));
    for c in &doc.columns {
        let some = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let line = if o.object_type == "routine" {
            format!("{name}({}) #{} {} {} {}", o.signature, c.ordinal, c.extra, c.name, c.column_type)
        } else {
            format!(
                "{name} #{} {} {} null={} default={} extra={} generated={} labels={} collation={} {}",
                c.ordinal,
                c.name,
                c.column_type,
                u8::from(c.nullable),
                some(&c.default),
                if c.extra.is_empty() { "-" } else { &c.extra },
                c.generated.as_deref().map_or_else(|| "-".to_owned(), bare),
                c.enum_values.as_ref().map_or_else(|| "-".to_owned(), |list| list.join("|")),
                some(&c.collation),
                c.comment
            )
        };
        add(lines, if o.object_type == "routine" { "parameter" } else { "column" }, line);
    }
    for i in &doc.indexes {
        let parts: Vec<String> = i
            .columns
            .iter()
            .map(|p| {
                let what = p.name.clone().or_else(|| p.expression.as_deref().map(bare)).unwrap_or_default();
                let length = p.sub_part.map_or_else(String::new, |n| format!("({n})"));
                format!("{what}{length}{}", if p.order == "desc" { " desc" } else { "" })
            })
            .collect();
        let predicate = i.predicate.as_deref().map_or_else(|| "-".to_owned(), bare);
        let line = format!(
            "{name} {} {} unique={} primary={} [{}] where {predicate}",
            i.name,
            i.index_type.to_lowercase(),
            u8::from(i.unique),
            u8::from(i.primary),
            parts.join(", ")
        );
        add(lines, "index", line);
    }
    for k in &doc.constraints {
        let columns = k.columns.join(", ");
        match k.constraint_type.as_str() {
            "foreign_key" => {
                let line = format!(
                    "{name} {} [{columns}] to {}.{} [{}] update={} delete={} deferrable={}",
                    k.name,
                    k.referenced_schema.as_deref().unwrap_or_default(),
                    k.referenced_table.as_deref().unwrap_or_default(),
                    k.referenced_columns.join(", "),
                    k.on_update.as_deref().unwrap_or_default(),
                    k.on_delete.as_deref().unwrap_or_default(),
                    u8::from(k.deferrable)
                );
                add(lines, "foreign key", line);
            }
            "check" | "exclusion" => {
                let text = k.expression.as_deref().map(bare).unwrap_or_default();
                add(lines, "constraint", format!("{name} {} {} {text}", k.name, k.constraint_type));
            }
            "unique" => add(lines, "constraint", format!("{name} {} unique [{columns}]", k.name)),
            _ => {}
        }
    }
}

/// An expression without brackets, blanks and quotes of names, which engines set as they like.
pub(crate) fn bare(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace() && !matches!(c, '(' | ')' | '`' | '"')).collect()
}

/// Fails with what only one side says.
pub(crate) fn assert_equal(kind: &str, ours: &BTreeSet<String>, theirs: &BTreeSet<String>) {
    let (missing, extra): (Vec<_>, Vec<_>) =
        (theirs.difference(ours).take(8).collect(), ours.difference(theirs).take(8).collect());
    assert!(
        missing.is_empty() && extra.is_empty(),
        "{kind}: only the server {missing:#?}, only we {extra:#?}"
    );
    assert!(!theirs.is_empty(), "nothing to compare: {kind}");
}
