//! The names of the contract's tests, so that each store runs all of them; it knows no store.

/// Hands the tests to `$run`, by module.
macro_rules! suite {
    ($run:ident) => {
        $run!(admin: jobs_run_conflict_and_stop, an_unfinished_job_is_taken_up_again, sources_are_shown_without_secrets_and_deleted_whole, verify_finds_and_repairs_differences, searches_are_logged_as_configured, requests_refuse_unknown_members_and_have_schemas);
        $run!(ingest: changes_and_deletions_are_followed, equal_cursor_values_across_pages_are_all_read, a_mass_deletion_needs_force, one_broken_source_does_not_stop_the_other, an_absent_embedder_defers_vectors, a_small_edit_embeds_few_chunks, a_changed_model_serves_the_old_vectors_until_the_swap, ids_with_wildcards_stay_apart_and_text_survives, searches_see_one_version_while_documents_change, stores_open_again_and_newer_ones_are_refused, a_folder_is_followed, doubled_and_foreign_names_are_conflicts);
        $run!(reads: neighbours_come_without_the_overlap, reads_are_capped_and_say_what_is_missing, rows_are_fetched_live_within_rights, hidden_and_disabled_sources_do_not_exist);
        $run!(search: filters_apply_before_the_cut_in_all_searches, broken_filters_are_refused_with_their_path, better_matches_score_higher_and_weights_matter, odd_queries_are_data, words_then_vectors_keeps_k_and_the_metric, a_given_vector_is_checked, vectors_are_nearest_over_all_sources_and_hybrid_degrades, later_stages_rerank_diversify_and_limit, caps_clamp_and_say_so, snippets_mark_words_and_explain_names_terms, time_is_a_bound);
    };
}
pub(crate) use suite;
