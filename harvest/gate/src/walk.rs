//! Walks a parsed query against the list of allowed nodes and gathers what it names; what it does not know is refused.

mod expr;
mod fields;
mod table;

use std::collections::BTreeSet;

use harvest::{DialectName, GatePolicy, HarvestResult, TableRef};
use sqlparser::ast::{
    Cte, Distinct, Fetch, GroupByExpr, GroupByWithModifier, Ident, LimitClause, NamedWindowExpr, ObjectName,
    ObjectNamePart, OrderBy, OrderByExpr, OrderByKind, Query, Select, SelectFlavor, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, Values, WildcardAdditionalOptions, With,
};

use crate::objects::{denial, is_denied_object};
use crate::refusal::{refuse, unknown};
use crate::uses::{ColumnUses, fold_identifier, has_star};

/// The walk over one statement.
pub(crate) struct Walk<'p> {
    dialect: DialectName,
    policy: &'p GatePolicy,
    tables: BTreeSet<TableRef>,
    functions: BTreeSet<String>,
    /// Names of common table expressions in sight.
    ctes: Vec<String>,
    /// What is named; set for a walk that only looks and judges no function and no object.
    uses: Option<ColumnUses>,
}

impl<'p> Walk<'p> {
    pub(crate) fn new(dialect: DialectName, policy: &'p GatePolicy) -> Self {
        Self {
            dialect,
            policy,
            tables: BTreeSet::new(),
            functions: BTreeSet::new(),
            ctes: Vec::new(),
            uses: None,
        }
    }

    /// A walk that gathers what is named and judges no function and no object.
    pub(crate) fn looking(dialect: DialectName, policy: &'p GatePolicy) -> Self {
        Self { uses: Some(ColumnUses::default()), ..Self::new(dialect, policy) }
    }

    /// What a looking walk has gathered.
    pub(crate) fn uses(self) -> ColumnUses {
        self.uses.unwrap_or_default()
    }

    /// Tables and functions that were named, sorted.
    pub(crate) fn findings(self) -> (Vec<TableRef>, Vec<String>) {
        (self.tables.into_iter().collect(), self.functions.into_iter().collect())
    }

    /// The name as the engine resolves it.
    fn folded(&self, ident: &Ident) -> String {
        let folds = self.dialect != DialectName::Postgresql || ident.quote_style.is_none();
        if folds { ident.value.to_lowercase() } else { ident.value.clone() }
    }

    fn same_name(&self, ident: &Ident) -> String {
        ident.value.to_lowercase()
    }

    pub(crate) fn query(&mut self, query: &Query) -> HarvestResult<()> {
        let Query {
            with,
            body,
            order_by,
            limit_clause,
            fetch,
            locks,
            for_clause,
            settings,
            format_clause,
            pipe_operators,
        } = query;
        if !locks.is_empty() {
            return refuse("a locking clause", "remove FOR UPDATE, FOR SHARE or LOCK IN SHARE MODE");
        }
        if for_clause.is_some() || settings.is_some() || format_clause.is_some() || !pipe_operators.is_empty()
        {
            return unknown("a clause of another engine");
        }
        let visible = self.ctes.len();
        if let Some(with) = with {
            self.with(with)?;
        }
        self.set_expr(body)?;
        if let Some(order_by) = order_by {
            self.order_by_clause(order_by)?;
        }
        if let Some(limit) = limit_clause {
            self.limit(limit)?;
        }
        if let Some(Fetch { with_ties: _, percent: _, quantity: Some(quantity) }) = fetch {
            self.expr(quantity)?;
        }
        self.ctes.truncate(visible);
        Ok(())
    }

    fn with(&mut self, with: &With) -> HarvestResult<()> {
        let With { with_token: _, recursive, cte_tables } = with;
        // SQLite lets an expression see itself without the word RECURSIVE.
        let recursive = *recursive || self.dialect == DialectName::Sqlite;
        if recursive {
            for cte in cte_tables {
                let name = self.same_name(&cte.alias.name);
                self.ctes.push(name);
            }
        }
        for cte in cte_tables {
            let Cte { alias, query, from, materialized: _, closing_paren_token: _ } = cte;
            if let Some(uses) = &mut self.uses {
                uses.ctes.push(fold_identifier(self.dialect, &alias.name.value));
            }
            if from.is_some() {
                return unknown("a clause of another engine");
            }
            self.query(query)?;
            if !recursive {
                let name = self.same_name(&alias.name);
                self.ctes.push(name);
            }
        }
        Ok(())
    }

    fn set_expr(&mut self, body: &SetExpr) -> HarvestResult<()> {
        // Long chains of UNION lean to the left: walk them without recursion.
        let mut body = body;
        while let SetExpr::SetOperation { left, op: _, set_quantifier: _, right } = body {
            self.set_expr(right)?;
            body = left;
        }
        match body {
            SetExpr::Select(select) => self.select(select),
            SetExpr::Query(query) => self.query(query),
            SetExpr::Values(values) => self.values(values),
            SetExpr::Table(table) => {
                let name = table.table_name.as_ref().map(|i| (i.value.clone(), i.quote_style));
                let Some((name, _)) = name else { return unknown("TABLE without a name") };
                if let Some(uses) = &mut self.uses {
                    uses.whole(self.dialect, table.schema_name.as_ref().map(|s| s.value.as_str()), &name);
                }
                self.relation(table.schema_name.as_ref().map(|s| s.value.clone()), name)
            }
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
                refuse("a data-changing statement", "only SELECT is allowed, also inside WITH")
            }
            SetExpr::SetOperation { .. } => Ok(()),
        }
    }

    fn values(&mut self, values: &Values) -> HarvestResult<()> {
        for row in &values.rows {
            self.exprs(&row.content)?;
        }
        Ok(())
    }

    fn select(&mut self, select: &Select) -> HarvestResult<()> {
        let Select {
            select_token: _,
            optimizer_hints,
            distinct,
            select_modifiers: _,
            top,
            top_before_distinct: _,
            projection,
            exclude,
            into,
            from,
            lateral_views,
            prewhere,
            selection,
            connect_by,
            group_by,
            cluster_by,
            distribute_by,
            sort_by,
            having,
            named_window,
            qualify,
            window_before_qualify: _,
            value_table_mode,
            flavor,
        } = select;
        if into.is_some() {
            return refuse("INTO", "read the rows instead of storing them");
        }
        let foreign = !optimizer_hints.is_empty()
            || top.is_some()
            || exclude.is_some()
            || !lateral_views.is_empty()
            || prewhere.is_some()
            || !connect_by.is_empty()
            || !cluster_by.is_empty()
            || !distribute_by.is_empty()
            || !sort_by.is_empty()
            || qualify.is_some()
            || value_table_mode.is_some()
            || *flavor != SelectFlavor::Standard;
        if foreign {
            return unknown("a clause of another engine");
        }
        let entered = self.uses.as_mut().map(ColumnUses::enter);
        if let Some(Distinct::On(on)) = distinct {
            self.exprs(on)?;
        }
        for item in projection {
            self.select_item(item)?;
        }
        for table in from {
            self.table_with_joins(table)?;
        }
        self.optional(selection.as_ref())?;
        self.group_by(group_by)?;
        self.optional(having.as_ref())?;
        for window in named_window {
            if let NamedWindowExpr::WindowSpec(spec) = &window.1 {
                self.window(spec)?;
            }
        }
        if let (Some(uses), Some(select)) = (&mut self.uses, entered) {
            uses.leave(select, has_star(projection));
        }
        Ok(())
    }

    fn select_item(&mut self, item: &SelectItem) -> HarvestResult<()> {
        match item {
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, alias: _ } => self.expr(expr),
            SelectItem::QualifiedWildcard(kind, options) => {
                if let SelectItemQualifiedWildcardKind::Expr(expr) = kind {
                    self.expr(expr)?;
                }
                self.wildcard(options)
            }
            SelectItem::Wildcard(options) => self.wildcard(options),
            SelectItem::ExprWithAliases { .. } => unknown("several aliases for one expression"),
        }
    }

    fn wildcard(&mut self, options: &WildcardAdditionalOptions) -> HarvestResult<()> {
        let WildcardAdditionalOptions {
            wildcard_token: _,
            opt_ilike,
            opt_exclude,
            opt_except,
            opt_replace,
            opt_rename,
            opt_alias,
        } = options;
        let plain = opt_ilike.is_none()
            && opt_exclude.is_none()
            && opt_except.is_none()
            && opt_replace.is_none()
            && opt_rename.is_none()
            && opt_alias.is_none();
        if plain { Ok(()) } else { unknown("a wildcard with options") }
    }

    fn group_by(&mut self, group_by: &GroupByExpr) -> HarvestResult<()> {
        let modifiers = match group_by {
            GroupByExpr::All(modifiers) => modifiers,
            GroupByExpr::Expressions(exprs, modifiers) => {
                self.exprs(exprs)?;
                modifiers
            }
        };
        for modifier in modifiers {
            match modifier {
                GroupByWithModifier::Rollup | GroupByWithModifier::Cube => {}
                GroupByWithModifier::GroupingSets(expr) => self.expr(expr)?,
                GroupByWithModifier::Totals => return unknown("WITH TOTALS"),
            }
        }
        Ok(())
    }

    fn limit(&mut self, limit: &LimitClause) -> HarvestResult<()> {
        match limit {
            LimitClause::LimitOffset { limit, offset, limit_by } => {
                self.optional(limit.as_ref())?;
                self.optional(offset.as_ref().map(|o| &o.value))?;
                if limit_by.is_empty() { Ok(()) } else { unknown("LIMIT BY") }
            }
            LimitClause::OffsetCommaLimit { offset, limit } => {
                self.expr(offset)?;
                self.expr(limit)
            }
        }
    }

    fn order_by_clause(&mut self, order_by: &OrderBy) -> HarvestResult<()> {
        if order_by.interpolate.is_some() {
            return unknown("INTERPOLATE");
        }
        match &order_by.kind {
            OrderByKind::All(_) => unknown("ORDER BY ALL"),
            OrderByKind::Expressions(list) => self.order_by(list),
        }
    }

    pub(crate) fn order_by(&mut self, list: &[OrderByExpr]) -> HarvestResult<()> {
        for item in list {
            self.expr(&item.expr)?;
            if item.with_fill.is_some() {
                return unknown("WITH FILL");
            }
        }
        Ok(())
    }

    /// Notes a table and refuses a denied one.
    fn relation(&mut self, schema: Option<String>, name: String) -> HarvestResult<()> {
        if self.uses.is_some() {
            return Ok(());
        }
        if is_denied_object(self.dialect, schema.as_deref(), &name, self.policy) {
            return Err(denial(&name));
        }
        let pragma = name.get(..7).is_some_and(|p| p.eq_ignore_ascii_case("pragma_"));
        if self.dialect == DialectName::Sqlite && pragma {
            return self.called(None, &name.to_lowercase());
        }
        if schema.is_none() && self.ctes.contains(&name.to_lowercase()) {
            return Ok(());
        }
        self.tables.insert(TableRef { schema, name });
        Ok(())
    }

    /// The schema, if written, and the name; longer names and computed parts are refused.
    fn parts<'n>(&self, name: &'n ObjectName) -> HarvestResult<(Option<&'n Ident>, &'n Ident)> {
        match name.0.as_slice() {
            [ObjectNamePart::Identifier(name)] => Ok((None, name)),
            [.., ObjectNamePart::Identifier(schema), ObjectNamePart::Identifier(name)] => {
                Ok((Some(schema), name))
            }
            _ => unknown("a name of this form"),
        }
    }
}
