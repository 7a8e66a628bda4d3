//! The closed list of words that rules look at, found by hash in a table built at compile time.

macro_rules! words {
    ($( $variant:ident : $class:ident = $( $text:literal )+ ; )+) => {
        /// What a word means to the rules; several words may share one meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub(crate) enum Kw { None, $( $variant, )+ }

        const WORDS: &[(&str, Kw)] = &[ $( $( ($text, Kw::$variant), )+ )+ ];

        impl Kw {
            pub(crate) const fn class(self) -> Class {
                match self { Kw::None => Class::Name, $( Kw::$variant => Class::$class, )+ }
            }
        }
    };
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Not a keyword.
    Name,
    /// Shapes the statement; never a column.
    Reserved,
    /// Begins a statement, a plain name elsewhere.
    Verb,
    /// A function that rules know, only before `(` unless said otherwise.
    Function,
    /// A catalog or system schema.
    System,
}

impl Kw {
    pub(crate) const fn is_reserved(self) -> bool {
        matches!(self.class(), Class::Reserved)
    }
}

words! {
    Select: Reserved = "select";
    From: Reserved = "from";
    Where: Reserved = "where";
    And: Reserved = "and";
    Or: Reserved = "or";
    Xor: Reserved = "xor";
    Not: Reserved = "not";
    Union: Reserved = "union";
    Intersect: Reserved = "intersect";
    Except: Reserved = "except" "minus";
    All: Reserved = "all";
    Distinct: Reserved = "distinct" "distinctrow";
    Order: Reserved = "order";
    Group: Reserved = "group";
    By: Reserved = "by";
    Having: Reserved = "having";
    Limit: Reserved = "limit";
    Offset: Reserved = "offset";
    Fetch: Reserved = "fetch";
    On: Reserved = "on";
    Using: Reserved = "using";
    Join: Reserved = "join";
    Inner: Reserved = "inner";
    Left: Reserved = "left";
    Right: Reserved = "right";
    Outer: Reserved = "outer" "full" "cross" "natural" "straight_join" "lateral";
    As: Reserved = "as";
    In: Reserved = "in";
    Is: Reserved = "is";
    Null: Reserved = "null";
    True: Reserved = "true";
    False: Reserved = "false";
    Default: Reserved = "default";
    Like: Reserved = "like" "ilike" "rlike" "regexp" "glob" "similar";
    Sounds: Name = "sounds" "soundex";
    Between: Reserved = "between";
    Exists: Reserved = "exists";
    Case: Reserved = "case";
    When: Reserved = "when";
    Then: Reserved = "then";
    Else: Reserved = "else";
    End: Reserved = "end";
    Asc: Reserved = "asc";
    Desc: Reserved = "desc";
    Into: Reserved = "into";
    Values: Reserved = "values";
    Set: Reserved = "set";
    Returning: Reserved = "returning";
    Div: Reserved = "div" "mod";
    Binary: Name = "binary" "collate";
    Interval: Name = "interval";
    TypeWord: Name = "date" "timestamp" "timestamptz" "time" "datetime" "numeric" "json" "jsonb";
    Escape: Name = "escape";
    Any: Reserved = "any" "some";
    Over: Name = "over" "filter" "within" "window" "partition";
    With: Reserved = "with";
    Recursive: Name = "recursive";
    For: Name = "for";
    Against: Name = "against" "match";

    Insert: Verb = "insert" "replace";
    Update: Verb = "update";
    Delete: Verb = "delete";
    Merge: Verb = "merge";
    Create: Verb = "create";
    Alter: Verb = "alter" "rename" "reindex" "comment" "analyze" "vacuum" "optimize" "refresh" "cluster";
    Drop: Verb = "drop" "truncate";
    Grant: Verb = "grant" "revoke";
    Call: Verb = "call" "do" "exec" "execute" "declare";
    Prepare: Verb = "prepare" "deallocate";
    Immediate: Name = "immediate";
    Explain: Verb = "explain" "describe";
    Show: Verb = "show" "use" "help" "ping" "discard" "reset" "checkpoint" "listen" "unlisten" "notify" "flush" "kill" "pragma";
    Transaction: Verb = "begin" "commit" "rollback" "savepoint" "release" "start" "abort" "lock" "unlock";
    Copy: Verb = "copy";
    Load: Verb = "load";
    Attach: Verb = "attach" "detach";
    Waitfor: Verb = "waitfor" "shutdown";
    Handler: Verb = "handler";

    Table: Name = "table";
    View: Name = "view";
    Routine: Name = "procedure" "function" "trigger" "event" "package" "rule" "aggregate" "policy";
    User: Function = "user" "current_user" "session_user" "system_user" "current_role";
    Database: Function = "database" "schema" "current_database" "current_schema" "db_name" "current_setting";
    Version: Function = "version" "sqlite_version" "sqlite_source_id" "inet_server_addr" "current_query" "banner" "user_name" "host_name" "pg_postmaster_start_time";
    Sleep: Function = "sleep" "pg_sleep" "pg_sleep_for" "pg_sleep_until" "benchmark" "receive_message" "delay";
    Heavy: Function = "generate_series" "randomblob" "zeroblob";
    Repeat: Function = "repeat" "rpad" "lpad" "space";
    Dual: Name = "dual" "sysdummy1";
    FileRead: Function = "load_file" "pg_read_file" "pg_read_binary_file" "pg_ls_dir" "pg_stat_file" "lo_import" "lo_export" "lo_from_bytea" "readfile" "writefile" "load_extension" "xp_cmdshell" "xp_dirtree" "xp_fileexist" "xp_regread" "xp_availablemedia" "sp_oacreate" "openrowset" "opendatasource" "utl_http" "utl_file" "utl_inaddr" "dblink" "dblink_connect" "sys_eval" "sys_exec" "eval";
    Outfile: Name = "outfile" "dumpfile";
    Program: Name = "program";
    XmlError: Function = "extractvalue" "updatexml" "xmltype";
    JsonError: Function = "json_extract" "json_keys" "json_value";
    ValueError: Function = "gtid_subset" "gtid_subtract" "exp" "geometrycollection" "polygon" "multipoint" "multilinestring" "linestring" "multipolygon" "st_latfromgeohash" "st_longfromgeohash" "st_pointfromgeohash" "name_const" "ntpath" "drithsx" "get_host_address" "get_host_name" "uuid_to_bin" "inet_aton" "dbms_utility";
    CatalogDump: Function = "query_to_xml" "table_to_xml" "database_to_xml" "schema_to_xml" "query_to_json" "xmlagg";
    Cast: Function = "cast" "convert" "try_cast";
    Floor: Function = "floor";
    Rand: Function = "rand" "random";
    Concat: Function = "concat" "concat_ws" "group_concat" "string_agg" "array_agg" "array_to_string" "listagg";
    Char: Function = "char" "chr" "nchar" "unhex" "unistr" "from_base64";
    Ord: Function = "ascii" "ord" "unicode" "hex" "bin" "conv" "crc32" "oct";
    Substr: Function = "substr" "substring" "mid" "strpos" "instr" "position" "locate";
    Length: Function = "length" "char_length" "character_length" "octet_length" "bit_length" "len";
    If: Function = "if" "iif" "elt" "make_set" "decode" "nvl2";
    Coalesce: Function = "coalesce" "ifnull" "nullif" "nvl" "isnull";
    Now: Function = "now" "current_timestamp" "current_date" "current_time" "localtime" "localtimestamp" "sysdate" "curdate" "curtime" "unix_timestamp" "utc_timestamp" "statement_timestamp" "clock_timestamp" "getdate" "strftime" "julianday" "unixepoch" "last_insert_id" "last_insert_rowid" "changes" "found_rows" "row_count" "lastval" "uuid" "gen_random_uuid" "txid_current";
    Pure: Function = "count" "sum" "avg" "min" "max" "row_number" "rank" "dense_rank" "lag" "lead" "ntile" "json_object" "json_array" "date_add" "date_sub" "date_format" "to_date" "to_timestamp" "to_char" "str_to_date" "date_trunc" "datediff" "extract" "nextval" "currval" "setval" "row" "array" "unnest";
    Analyse: Name = "analyse";

    SysSchema: System = "information_schema" "pg_catalog" "performance_schema" "sysibm" "syscat";
    SysTable: System = "sqlite_master" "sqlite_schema" "sqlite_temp_master" "sqlite_sequence" "pg_user" "pg_shadow" "pg_authid" "pg_roles" "pg_tables" "pg_class" "pg_database" "pg_namespace" "pg_attribute" "pg_proc" "pg_settings" "pg_stat_activity" "pg_type" "pg_largeobject" "pg_views" "pg_language" "sysobjects" "syscolumns" "sysusers" "sysdatabases" "syslogins" "all_tables" "all_tab_columns" "user_tables" "all_users" "dba_users" "dba_tables" "v$version" "v$instance" "v$database" "msysobjects" "schemata" "table_privileges" "user_privileges";
    MySchema: Name = "mysql" "sys" "master";
    MyTable: Name = "db" "tables_priv" "global_priv" "proxies_priv" "proc" "func";
}

const SLOTS: usize = 2048;
const MASK: usize = SLOTS - 1;

const FOLD: u64 = 0x8080_8080_8080_8080;

/// Eight bytes with ASCII letters folded; bytes above 127 stay as they are.
#[inline(always)]
const fn fold_case(chunk: u64) -> u64 {
    chunk | (!chunk & FOLD) >> 2
}

#[inline(always)]
const fn step(h: u64, chunk: u64) -> u64 {
    (h ^ fold_case(chunk)).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29)
}

const fn start(len: usize) -> u64 {
    0x517C_C1B7_2722_0A95 ^ (len as u64) << 56
}

/// The hash of a word, ASCII case folded, eight bytes at a time.
pub(crate) const fn hash_of(bytes: &[u8]) -> u64 {
    let mut h = start(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let mut chunk = 0_u64;
        let mut j = 0;
        while j < 8 && i + j < bytes.len() {
            chunk |= (bytes[i + j] as u64) << (8 * j);
            j += 1;
        }
        h = step(h, chunk);
        i += 8;
    }
    h
}

/// `hash_of(&src[from..to])`, faster where eight bytes can be loaded at once.
#[inline(always)]
pub(crate) fn hash_at(src: &[u8], from: usize, to: usize) -> u64 {
    let len = to - from;
    let mut h = start(len);
    let mut i = from;
    while i < to {
        let Some(bytes) = src.get(i..i + 8).and_then(|b| <[u8; 8]>::try_from(b).ok()) else {
            return hash_of(src.get(from..to).unwrap_or(&[]));
        };
        let chunk = u64::from_le_bytes(bytes);
        let left = to - i;
        h = step(h, if left >= 8 { chunk } else { chunk & ((1 << (8 * left)) - 1) });
        i += 8;
    }
    h
}

const fn slot_of(hash: u64) -> usize {
    ((hash >> 32) ^ hash) as usize & MASK
}

const TABLE: [u16; SLOTS] = {
    let mut table = [0_u16; SLOTS];
    let mut i = 0;
    while i < WORDS.len() {
        let mut slot = slot_of(hash_of(WORDS[i].0.as_bytes()));
        while table[slot] != 0 {
            slot = (slot + 1) & MASK;
        }
        table[slot] = i as u16 + 1;
        i += 1;
    }
    table
};

const HASHES: [u64; WORDS.len()] = {
    let mut hashes = [0_u64; WORDS.len()];
    let mut i = 0;
    while i < WORDS.len() {
        hashes[i] = hash_of(WORDS[i].0.as_bytes());
        i += 1;
    }
    hashes
};

/// Finds a word by its folded hash; the bytes are compared as well, so a collision is no match.
#[inline]
pub(crate) fn lookup(hash: u64, word: &[u8]) -> Kw {
    let mut slot = slot_of(hash);
    loop {
        let entry = TABLE[slot];
        if entry == 0 {
            return Kw::None;
        }
        let at = usize::from(entry - 1);
        if HASHES[at] == hash {
            let (text, kw) = WORDS[at];
            return if word.eq_ignore_ascii_case(text.as_bytes()) { kw } else { Kw::None };
        }
        slot = (slot + 1) & MASK;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_found_once() {
        for (text, kw) in WORDS {
            assert_eq!(lookup(hash_of(text.as_bytes()), text.as_bytes()), *kw, "{text}");
            assert_eq!(WORDS.iter().filter(|w| w.0 == *text).count(), 1, "{text} twice");
        }
        assert_eq!(lookup(hash_of(b"customer"), b"customer"), Kw::None);
        assert_eq!(lookup(hash_of(b"SeLeCt"), b"SeLeCt"), Kw::Select);
    }

    #[test]
    fn both_hashes_agree() {
        let text = b"SELECT username_and_more_than_sixteen, caf\xC3\xA9 FROM t";
        for from in 0..text.len() {
            for to in from..text.len() {
                assert_eq!(hash_at(text, from, to), hash_of(&text[from..to]));
            }
        }
    }
}
