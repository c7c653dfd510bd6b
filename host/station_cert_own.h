/* What station_cert.c and station_enrol.c share. */
#ifndef HOST_STATION_CERT_OWN_H
#define HOST_STATION_CERT_OWN_H

#define STAMPI_BUNDLE_PEM "DEVSTAMP TRUST BUNDLE"

#endif
