"""What of the same collections is not about a request that is submitted, and which tests have it."""

_UPLOADS = "tests/integration/test_fdb_uploads.py"
_PROBES = "tests/integration/rest/test_http_probes.py"
_LOCATIONS = "tests/unit/frontend/test_locations.py"
_CONTRACT = "polytope_server/testing/datasource.py::DataSourceContract"

#: By the row, the tests: file, class if there is one, function.
ELSEWHERE: dict[str, tuple[str, ...]] = {
    # Section 13: what a data source is
    "13-result": (f"{_CONTRACT}::test_it_yields_the_data_with_their_media_type",),
    "13-destroy": (f"{_CONTRACT}::test_a_result_may_be_given_up_early",),
    "13-archive": (f"{_CONTRACT}::test_it_archives_or_says_that_it_does_not",),
    # Section 13.4: the file
    "13.4-file-missing": (
        "tests/unit/schedule/test_schedule_file.py::test_a_source_that_obeys_needs_a_good_schedule",
    ),
    "13.4-file-of-earlier-servers": (
        "tests/unit/schedule/test_schedule_file.py::test_the_place_of_earlier_servers_counts_where_their_variable_says_so",
    ),
    "13.4-file-wrong": (
        "tests/unit/schedule/test_releases.py::test_a_broken_schedule_is_refused_with_the_place",
    ),
    # Uploads
    "G1": (f"{_UPLOADS}::TestSeveralFields::test_in_one_message_are_refused_and_counted",),
    "G2": (
        f"{_UPLOADS}::TestWhatCannotBeAskedFor::test_a_parameter_without_a_number_is_refused_with_its_codes",
    ),
    "G3": (
        f"{_UPLOADS}::TestSeveralFields::test_with_the_same_keys_in_one_upload_are_refused",
        f"{_UPLOADS}::TestSeveralFields::test_with_the_same_keys_far_apart_are_refused",
    ),
    "L23-in-messages": (
        f"{_UPLOADS}::TestWhatCannotBeAskedFor::test_member_0_is_refused_where_requests_may_not_name_it",
        f"{_UPLOADS}::TestWhatCannotBeAskedFor::test_member_0_is_archived_where_requests_may_name_it",
    ),
    "P4-in-messages": (f"{_UPLOADS}::TestSpellings::test_a_step_in_minutes_is_read_as_the_request_is",),
    "G-of-any-kind": (
        "tests/integration/test_fdb_any_upload.py::"
        "test_what_is_archived_can_be_asked_for_and_what_cannot_is_refused",
    ),
    # HTTP
    "H3": (
        "tests/unit/authentication/test_authorization_header.py::"
        "test_a_challenge_for_names_and_passwords_says_how_they_are_encoded",
    ),
    "H5": (
        "tests/integration/rest/test_rest_downloads.py::test_several_ranges_are_parts_of_one_answer",
        "tests/unit/http/test_ranges.py::test_parts_come_in_the_order_of_the_header",
    ),
    "P6": (f"{_PROBES}::test_a_head_that_is_too_large_is_refused_in_whatever_pieces",),
    "P7": (
        f"{_PROBES}::test_a_call_with_a_fault_is_refused_and_the_next_one_is_served",
        f"{_PROBES}::test_the_server_as_a_whole_has_options",
    ),
    "no-host": (
        f"{_PROBES}::test_a_call_with_a_fault_is_refused_and_the_next_one_is_served",
        f"{_PROBES}::test_http_1_0_needs_no_host_and_ends_the_connection",
    ),
    "P8": (
        "tests/integration/rest/test_rest_addresses.py::test_a_public_address_makes_every_location_absolute",
    ),
    "P9": (
        f"{_LOCATIONS}::test_locations_are_absolute_where_the_host_is_one_of_the_servers_own",
        "tests/integration/test_client_locations.py::test_a_result_can_be_described_by_its_absolute_location",
    ),
    "P10": (f"{_LOCATIONS}::test_a_collection_may_be_called_all",),
    # Stores
    "P11": (
        "tests/unit/staging/test_s3_bucket.py::test_an_answer_without_rules_is_one_with_none",
        "tests/unit/staging/test_s3_bucket.py::test_a_server_without_rules_can_be_used",
        "tests/integration/backends/s3_staging/test_s3_staging.py::"
        "TestS3StagingInParts::test_what_the_server_does_not_know_is_warned_of_once",
    ),
    # The request files of all these repositories
    "published": (
        "tests/integration/test_fdb_requests.py::test_a_published_request_is_accepted_and_understood_by_the_fdb",
        "tests/integration/test_fdb_requests.py::"
        "test_a_published_request_that_cannot_be_served_is_refused_in_words",
    ),
    # All other names of keys that metkit knows
    "P3-all": (
        "tests/integration/test_fdb_requests.py::TestTables::test_all_keys_of_the_language_are_known",
    ),
}
