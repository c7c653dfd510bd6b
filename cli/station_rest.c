#include "cli/station.h"
int station_status(int c, char **v)
{
    (void)c;
    (void)v;
    return 1;
}
int station_export(int c, char **v)
{
    (void)c;
    (void)v;
    return 1;
}
int station_scrap(int c, char **v)
{
    (void)c;
    (void)v;
    return 1;
}
int station_rework(int c, char **v)
{
    (void)c;
    (void)v;
    return 1;
}
