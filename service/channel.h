/*
 * One end of a channel between two processes: whole messages over SOCK_SEQPACKET, one or
 * more in a packet, each behind its length (2 bytes). What the other side does not take
 * yet waits here, so nobody blocks on anybody. The parent keeps both ends open, so what
 * was sent outlives the death of who was to read it.
 */
#ifndef SERVICE_CHANNEL_H
#define SERVICE_CHANNEL_H

#include "service/wire.h"

struct service_channel {
    int fd;
    int file; /* that came with the message received last; -1 = none. The caller takes it
               */
    struct service_waiting *first, *last; /* packets to be sent */
    struct service_packet *out;           /* that is being put together; NULL = none */
    struct service_packet *in;            /* that is being taken apart; NULL = none */
};

/** Take an end, which does not block from now on. */
void service_channel_init(struct service_channel *c, int fd);
void service_channel_fini(struct service_channel *c);

/** Send, or keep until it can be. What cannot be encoded is a bug of ours. */
void service_channel_send(struct service_channel *c, const struct service_message *m);

/** The same with others in one packet, at the next send, flush or wait. */
void service_channel_post(struct service_channel *c, const struct service_message *m);

/** Send a message with a file, which stays the caller's. False: not now. */
bool service_channel_send_file(struct service_channel *c, const struct service_message *m,
                               int file);

/** Send on what waits or was posted. True where all is sent. */
bool service_channel_flush(struct service_channel *c);

/** Send on what waits on all of them, and wait until one can be read or written.
 * @param n  at most SERVICE_CHANNELS_MAX. @param timeout_ms  -1 = none */
#define SERVICE_CHANNELS_MAX 40u
void service_channels_wait(struct service_channel *const *channels, size_t n,
                           int timeout_ms);

enum service_received { SERVICE_GOT, SERVICE_NOTHING, SERVICE_CLOSED };

/** Take one message. @param buf  SERVICE_MESSAGE_MAX bytes, which `m` points into. Ends
 * the process where it is none. */
enum service_received service_channel_receive(struct service_channel *c, uint8_t *buf,
                                              struct service_message *m);

#endif
