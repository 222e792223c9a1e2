# Start HAProxy until it ends well or its file is gone. First wait for a master that runs already.
# The shell alone has the lock, as descriptor 9: never two loops, which would both listen.
exec 9>>$lock
flock --nonblock 9 || exit
master=$master
while [ -n "$$master" ] && read -r _ _ state _ 2>/dev/null </proc/"$$master"/stat && [ "$$state" != Z ]; do
    sleep $pause 9>&-
done
while [ -e $config ] && ! $haproxy 2>>$log 9>&-; do
    sleep $pause 9>&-
done
