# Start the writer of the log until it has read all of it, or the program is gone.
# The shell alone has the lock, as descriptor 9: never two loops, which would both read.
exec 9>>$lock
flock --nonblock 9 || exit
until $writer 2>>$log 9>&-; do
    [ -e $program ] || exit
    sleep $pause 9>&-
done
