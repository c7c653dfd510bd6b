/*
 * The profile as it stands in YAML: libcyaml's schema and the structs it fills. Only the
 * profile's own files see this; everybody else sees struct stamp_profile.
 */
#ifndef HOST_PROFILE_YAML_H
#define HOST_PROFILE_YAML_H

#include <cyaml/cyaml.h>
#include <stdint.h>

#include "host/profile.h"
#include "host/profile_pos.h"

struct yaml_serial {
    char *pattern;
    char *alphabet;
};

struct yaml_subject {
    char *organization;
    char *organizational_unit;
    char *common_name;
    char *country;
};

struct yaml_certificate {
    uint32_t validity_days;
    uint32_t pen;
    char *hardware_type_oid;
    struct yaml_subject *subject;
};

struct yaml_pop {
    char *alphabet;
    uint32_t *length;
    char *escrow;
};

struct yaml_provisioning {
    enum stamp_profile_key kind;
    char *public_key_file;
};

struct yaml_partition {
    char *offset;
    char *birth_size;
    char *bank_size;
    char *erase_size;
    uint32_t *program_size;
    uint32_t *erased_value;
};

struct yaml_esp {
    char *name;
    char *transport;
    char *username;
    char *password;
    char *network;
    uint32_t *security;
};

struct yaml_barcode {
    char *name;
    enum stamp_symbology symbology;
    char *payload;
    char *info;
    struct yaml_esp *esp;
};

struct profile_yaml {
    char *company;
    char *product;
    char *model;
    char *hardware_revision;
    struct yaml_serial serial;
    struct yaml_certificate *certificate;
    struct yaml_pop *proof_of_possession;
    struct yaml_provisioning *provisioning_key;
    struct yaml_partition *partition;
    struct yaml_barcode *barcodes;
    unsigned barcodes_count;
};

/** What a profile owns besides itself. */
struct stampi_profile_own {
    struct stampi_doc doc; /* field names and texts lie in here */
    struct profile_yaml *yaml;
    char *peer_path;
    char *escrow_path;
};

/** The schema of the whole file. */
const cyaml_schema_value_t *stampi_profile_schema(void);

/** libcyaml's settings: silent, no aliases. */
const cyaml_config_t *stampi_profile_cyaml(void);

/** Turn the YAML into the profile and check all that the schema cannot. */
STAMP_MUST_USE enum stamp_err stampi_profile_fill(struct stamp_profile *p,
                                                  struct stamp_error *err);

/** The part of it that is about barcodes and fields. Comes last: it needs all the rest.
 */
STAMP_MUST_USE enum stamp_err stampi_profile_barcodes(struct stamp_profile *p,
                                                      struct stamp_error *err);
STAMP_MUST_USE enum stamp_err stampi_profile_fields(struct stamp_profile *p,
                                                    struct stamp_error *err);

#endif
