#include "host/profile_yaml.h"

#define OPT CYAML_FLAG_OPTIONAL
#define OPT_PTR (CYAML_FLAG_OPTIONAL | CYAML_FLAG_POINTER)

/* Pattern, template and path: generous here, their own rules say more. */
#define TEXT_MAX 512

static const cyaml_schema_field_t serial_fields[] = {
    CYAML_FIELD_STRING_PTR("pattern", CYAML_FLAG_POINTER, struct yaml_serial, pattern, 1,
                           TEXT_MAX),
    CYAML_FIELD_STRING_PTR("alphabet", OPT_PTR, struct yaml_serial, alphabet, 2, 62),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t subject_fields[] = {
    CYAML_FIELD_STRING_PTR("organization", OPT_PTR, struct yaml_subject, organization, 1,
                           64),
    CYAML_FIELD_STRING_PTR("organizational_unit", OPT_PTR, struct yaml_subject,
                           organizational_unit, 1, 64),
    CYAML_FIELD_STRING_PTR("common_name", OPT_PTR, struct yaml_subject, common_name, 1,
                           TEXT_MAX),
    CYAML_FIELD_STRING_PTR("country", OPT_PTR, struct yaml_subject, country, 2, 2),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t certificate_fields[] = {
    CYAML_FIELD_UINT("validity_days", OPT, struct yaml_certificate, validity_days),
    CYAML_FIELD_UINT("pen", OPT, struct yaml_certificate, pen),
    CYAML_FIELD_STRING_PTR("hardware_type_oid", OPT_PTR, struct yaml_certificate,
                           hardware_type_oid, 3, 128),
    CYAML_FIELD_MAPPING_PTR("subject", OPT_PTR, struct yaml_certificate, subject,
                            subject_fields),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t pop_fields[] = {
    CYAML_FIELD_STRING_PTR("alphabet", OPT_PTR, struct yaml_pop, alphabet, 2,
                           STAMP_ALPHABET_MAX),
    CYAML_FIELD_UINT_PTR("length", OPT_PTR, struct yaml_pop, length),
    CYAML_FIELD_STRING_PTR("escrow", OPT_PTR, struct yaml_pop, escrow, 1, TEXT_MAX),
    CYAML_FIELD_END,
};

static const cyaml_strval_t key_kinds[] = {
    {"device", STAMP_PROFILE_KEY_DEVICE},
    {"peer", STAMP_PROFILE_KEY_PEER},
    {"none", STAMP_PROFILE_KEY_NONE},
};

static const cyaml_schema_field_t provisioning_fields[] = {
    CYAML_FIELD_ENUM("kind", CYAML_FLAG_STRICT, struct yaml_provisioning, kind, key_kinds,
                     CYAML_ARRAY_LEN(key_kinds)),
    CYAML_FIELD_STRING_PTR("public_key_file", OPT_PTR, struct yaml_provisioning,
                           public_key_file, 1, TEXT_MAX),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t partition_fields[] = {
    CYAML_FIELD_STRING_PTR("offset", OPT_PTR, struct yaml_partition, offset, 1, 24),
    CYAML_FIELD_STRING_PTR("birth_size", OPT_PTR, struct yaml_partition, birth_size, 1,
                           24),
    CYAML_FIELD_STRING_PTR("bank_size", OPT_PTR, struct yaml_partition, bank_size, 1, 24),
    CYAML_FIELD_STRING_PTR("erase_size", OPT_PTR, struct yaml_partition, erase_size, 1,
                           24),
    CYAML_FIELD_UINT_PTR("program_size", OPT_PTR, struct yaml_partition, program_size),
    CYAML_FIELD_UINT_PTR("erased_value", OPT_PTR, struct yaml_partition, erased_value),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t esp_fields[] = {
    CYAML_FIELD_STRING_PTR("name", OPT_PTR, struct yaml_esp, name, 1, TEXT_MAX),
    CYAML_FIELD_STRING_PTR("transport", OPT_PTR, struct yaml_esp, transport, 1, 8),
    CYAML_FIELD_UINT_PTR("security", OPT_PTR, struct yaml_esp, security),
    CYAML_FIELD_STRING_PTR("username", OPT_PTR, struct yaml_esp, username, 1, 64),
    CYAML_FIELD_STRING_PTR("password", OPT_PTR, struct yaml_esp, password, 1, TEXT_MAX),
    CYAML_FIELD_STRING_PTR("network", OPT_PTR, struct yaml_esp, network, 1, 8),
    CYAML_FIELD_END,
};

static const cyaml_strval_t symbologies[] = {
    {"qr", STAMP_QR},
    {"datamatrix", STAMP_DATA_MATRIX},
    {"code128", STAMP_CODE128},
};

static const cyaml_schema_field_t barcode_fields[] = {
    CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct yaml_barcode, name, 1, 32),
    CYAML_FIELD_ENUM("symbology", CYAML_FLAG_STRICT, struct yaml_barcode, symbology,
                     symbologies, CYAML_ARRAY_LEN(symbologies)),
    CYAML_FIELD_STRING_PTR("payload", CYAML_FLAG_POINTER, struct yaml_barcode, payload, 1,
                           2 * STAMP_MAX_PAYLOAD),
    CYAML_FIELD_STRING_PTR("info", OPT_PTR, struct yaml_barcode, info, 1, TEXT_MAX),
    CYAML_FIELD_MAPPING_PTR("esp", OPT_PTR, struct yaml_barcode, esp, esp_fields),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t barcode_entry = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct yaml_barcode, barcode_fields),
};

static const cyaml_schema_field_t profile_fields[] = {
    CYAML_FIELD_STRING_PTR("company", CYAML_FLAG_POINTER, struct profile_yaml, company, 1,
                           STAMP_MAX_TEXT),
    CYAML_FIELD_STRING_PTR("product", CYAML_FLAG_POINTER, struct profile_yaml, product, 1,
                           STAMP_MAX_TEXT),
    CYAML_FIELD_STRING_PTR("model", OPT_PTR, struct profile_yaml, model, 1,
                           STAMP_MAX_TEXT),
    CYAML_FIELD_STRING_PTR("hardware_revision", OPT_PTR, struct profile_yaml,
                           hardware_revision, 1, 32),
    CYAML_FIELD_MAPPING("serial", CYAML_FLAG_DEFAULT, struct profile_yaml, serial,
                        serial_fields),
    CYAML_FIELD_MAPPING_PTR("certificate", OPT_PTR, struct profile_yaml, certificate,
                            certificate_fields),
    CYAML_FIELD_MAPPING_PTR("proof_of_possession", OPT_PTR, struct profile_yaml,
                            proof_of_possession, pop_fields),
    CYAML_FIELD_MAPPING_PTR("provisioning_key", OPT_PTR, struct profile_yaml,
                            provisioning_key, provisioning_fields),
    CYAML_FIELD_MAPPING_PTR("partition", OPT_PTR, struct profile_yaml, partition,
                            partition_fields),
    CYAML_FIELD_SEQUENCE("barcodes", OPT_PTR, struct profile_yaml, barcodes,
                         &barcode_entry, 0, STAMP_MAX_BARCODES),
    /* A map with keys of the user's own is beyond libcyaml: host/profile_barcodes.c reads
       it. */
    CYAML_FIELD_IGNORE("fields", OPT),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t profile_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct profile_yaml, profile_fields),
};

const cyaml_schema_value_t *stampi_profile_schema(void)
{
    return &profile_schema;
}

const cyaml_config_t *stampi_profile_cyaml(void)
{
    static const cyaml_config_t config = {
        .mem_fn = cyaml_mem,
        .log_fn = NULL,
        .log_level = CYAML_LOG_ERROR,
        .flags = CYAML_CFG_NO_ALIAS,
    };

    return &config;
}
