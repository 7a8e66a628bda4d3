//! Linking over a small catalog: words, abbreviations, joins, partitions, notes.

use ai_core_embed::HashedEmbedder;
use harvest::{
    ColumnMeta, Dialect, FakeDialect, ForeignKeyMeta, HarvestResult, IndexColumnMeta, IndexMeta,
    MetadataRequest, MetadataSnapshot, MetadataWatch, ObjectMeta, ObjectType, SchemaMeta,
};
use harvest_catalog::{Catalog, HarvestOptions, MetadataSource, StoreOptions};

use super::{LinkRequest, SchemaLinker};

struct Fixed(Vec<ObjectMeta>);

impl MetadataSource for Fixed {
    fn dialect(&self) -> &'static dyn Dialect {
        &FakeDialect
    }

    fn server_version(&self) -> String {
        "1".to_owned()
    }

    fn metadata(
        &mut self,
        _: &MetadataRequest,
        _: &mut dyn MetadataWatch,
    ) -> HarvestResult<MetadataSnapshot> {
        let schemas = vec![SchemaMeta { name: "main".to_owned(), ..SchemaMeta::default() }];
        Ok(MetadataSnapshot { schemas, objects: self.0.clone(), ..MetadataSnapshot::default() })
    }
}

fn table(name: &str, comment: &str, columns: &[&str], parent: Option<(&str, &str)>) -> ObjectMeta {
    let list = (1..).zip(columns).map(|(ordinal, name)| ColumnMeta {
        ordinal,
        name: (*name).to_owned(),
        data_type: "integer".to_owned(),
        column_type: "integer".to_owned(),
        ..ColumnMeta::default()
    });
    let key = IndexColumnMeta { name: Some(columns[0].to_owned()), ..IndexColumnMeta::default() };
    let primary = IndexMeta {
        name: "PRIMARY".to_owned(),
        unique: true,
        primary: true,
        visible: true,
        columns: vec![key],
        ..IndexMeta::default()
    };
    let keys = parent.map(|(column, table)| ForeignKeyMeta {
        name: format!("fk_{column}"),
        parent_schema: "main".to_owned(),
        parent_table: table.to_owned(),
        columns: vec![(column.to_owned(), "id".to_owned())],
        ..ForeignKeyMeta::default()
    });
    ObjectMeta {
        schema: "main".to_owned(),
        name: name.to_owned(),
        object_type: ObjectType::Table,
        subtype: "base".to_owned(),
        comment: comment.to_owned(),
        columns: list.collect(),
        indexes: vec![primary],
        foreign_keys: keys.into_iter().collect(),
        ..ObjectMeta::default()
    }
}

fn linked(question: &str) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(StoreOptions::new(dir.path().join("catalog.db"))).unwrap();
    let partition = ObjectMeta {
        subtype: "partition".to_owned(),
        parent: Some("readings".to_owned()),
        ..table("readings_2025", "", &["id", "kwh"], None)
    };
    let mut source = Fixed(vec![
        table("cust_mst", "", &["id", "nm"], None),
        table("purchases", "", &["id", "cust_mst_id"], Some(("cust_mst_id", "cust_mst"))),
        table("purchase_lines", "", &["id", "purchase_id", "qty"], Some(("purchase_id", "purchases"))),
        table("readings", "Energy used", &["id", "kwh"], None),
        partition,
        table("zz_misc", "Holidays of the staff", &["id", "starts_on"], None),
    ]);
    let options = HarvestOptions::new("t", "tests");
    let run_id = catalog.harvest(&options, &mut source, None, &mut ()).unwrap().run_id;
    let mut request = LinkRequest::new("t", run_id, question);
    request.limit = 3;
    let linker = SchemaLinker::default();
    let embedder = HashedEmbedder::default();
    let first = linker.link(&catalog, &request, Some(&embedder)).unwrap();
    assert_eq!(
        linker.link(&catalog, &request, Some(&embedder)).unwrap(),
        first,
        "kept vectors change nothing"
    );
    first.relations.into_iter().map(|relation| relation.name).collect()
}

#[test]
fn abbreviations_and_joins_bring_what_no_word_names() {
    let found = linked("Quantity of every purchase line by customer");
    assert!(
        found.contains(&"purchase_lines".to_owned()) && found.contains(&"cust_mst".to_owned()),
        "{found:?}"
    );
    assert!(found.contains(&"purchases".to_owned()), "{found:?}");
}

#[test]
fn a_partition_is_its_table_unless_it_is_named() {
    let found = linked("kwh of all readings");
    assert_eq!(found[0], "readings", "{found:?}");
    assert!(!found.contains(&"readings_2025".to_owned()), "{found:?}");
    assert!(linked("rows in readings_2025").contains(&"readings_2025".to_owned()));
}

#[test]
fn comments_speak_for_names_that_do_not() {
    assert_eq!(linked("When do staff members have a holiday?")[0], "zz_misc");
    assert!(linked("").is_empty());
}
